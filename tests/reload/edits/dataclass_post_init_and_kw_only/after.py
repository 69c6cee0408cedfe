from dataclasses import dataclass, field


@dataclass(kw_only=True)
class Options:
    host: str
    tags: list = field(default_factory=lambda: ["new"])

    def __post_init__(self):
        self.host = self.host.lower()

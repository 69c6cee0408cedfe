from dataclasses import dataclass, field


@dataclass
class Options:
    host: str
    tags: list = field(default_factory=list)

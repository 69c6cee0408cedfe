from dataclasses import dataclass


@dataclass
class Entry:
    key: str

    def shown(self):
        return self.key.upper()

from dataclasses import dataclass


@dataclass
class Entry:
    key: str
    hint: str = ""

    def shown(self):
        return self.key + self.hint

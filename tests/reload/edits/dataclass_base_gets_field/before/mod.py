from dataclasses import dataclass

from base import Event


@dataclass
class Login(Event):
    user: str = "nobody"

    def shown(self):
        return f"{self.name} by {self.user}"


@dataclass
class Deep(Login):
    more: int = 0

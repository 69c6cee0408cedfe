from dataclasses import dataclass
from typing import ClassVar


@dataclass
class Event:
    name: str
    level: ClassVar[int] = 1
    usual: ClassVar[tuple] = ()
    code: int = 7

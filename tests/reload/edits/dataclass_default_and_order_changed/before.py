from dataclasses import dataclass


@dataclass
class Job:
    name: str
    priority: int = 1

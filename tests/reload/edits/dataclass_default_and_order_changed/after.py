from dataclasses import dataclass


@dataclass(order=True)
class Job:
    name: str
    priority: int = 5

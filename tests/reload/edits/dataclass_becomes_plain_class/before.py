from dataclasses import dataclass


@dataclass(order=True)
class Money:
    amount: int
    currency: str = "EUR"


class Place:
    def __init__(self, x, y):
        self.x = x
        self.y = y

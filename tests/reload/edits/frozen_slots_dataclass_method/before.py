from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Money:
    amount: int
    currency: str = "EUR"

    def shown(self):
        return f"{self.amount} {self.currency}"

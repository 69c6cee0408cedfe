from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Money:
    amount: int
    currency: str = "EUR"

    def shown(self):
        return f"{self.currency} {self.amount:.2f}"

    def doubled(self):
        return Money(self.amount * 2, self.currency)

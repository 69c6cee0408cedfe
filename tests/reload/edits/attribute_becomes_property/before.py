class Account:
    rate = 2

    def __init__(self, cents):
        self.cents = cents

    @property
    def doubled(self):
        return self.cents * self.rate

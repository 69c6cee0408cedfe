class Account:
    doubled = 7

    def __init__(self, cents):
        self._cents = cents

    @property
    def cents(self):
        return self.__dict__.get("_cents", self.__dict__.get("cents"))

    @property
    def rate(self):
        return self.cents + 1

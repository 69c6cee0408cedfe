from base import Keeper


class Special(Keeper):
    def shown(self):
        return ("special", getattr(self, "value", None), getattr(self, "values", None))

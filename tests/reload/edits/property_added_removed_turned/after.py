class Account:
    def __init__(self):
        self._n = 7

    @property
    def size(self):
        return self._n * 2

    def name(self):
        return "new"

    @property
    def come(self):
        return self._n

    @come.setter
    def come(self, value):
        self._n = value

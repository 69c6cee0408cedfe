class Account:
    def __init__(self):
        self._n = 7

    def size(self):
        return self._n

    @property
    def name(self):
        return "old"

    @property
    def gone(self):
        return 1

class Signal:
    def __init__(self):
        self.receivers = []

    def connect(self, fn):
        if fn not in self.receivers:
            self.receivers.append(fn)
        return fn

    def send(self, value):
        return [fn(value) for fn in self.receivers]


saved = Signal()

from runtime.otp.gen_server import GenServer

__vsn__ = 2
CHANGES = []


class Basket(GenServer):
    def init(self, n):
        self.counts = {"x": n}

    def handle_call(self, request, sender):
        return ("v2", sum(self.counts.values()))

    def code_change(self, old_version, extra):
        CHANGES.append(old_version)
        if isinstance(old_version, tuple):
            self.items = [key for key, n in self.counts.items() for _ in range(n)]
            del self.counts
        else:
            self.counts = {key: self.items.count(key) for key in self.items}
            del self.items

from runtime.otp.gen_server import GenServer


class Counter(GenServer):
    def init(self, start):
        self.n = start

    def handle_call(self, request, sender):
        self.n += 1
        return self.n

    def handle_cast(self, n):
        self.n += n

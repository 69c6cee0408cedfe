from runtime.otp.gen_server import GenServer


class Worker(GenServer):
    def init(self, n):
        self.n = n * 10

    def handle_call(self, request, sender):
        return ("new", self.n)

from runtime.otp.gen_server import GenServer


class Worker(GenServer):
    def init(self, n):
        self.n = n

    def handle_call(self, request, sender):
        return ("old", self.n)

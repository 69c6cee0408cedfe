from runtime.otp.gen_server import GenServer

__vsn__ = 1


class Basket(GenServer):
    def init(self, n):
        self.n = n
        self.log = []

    def handle_call(self, request, sender):
        self.log.append(request)
        return ("v1", self.n, len(self.log))

from runtime.otp.gen_server import GenServer

__vsn__ = 1


class Basket(GenServer):
    def init(self, n):
        self.items = ["x"] * n

    def handle_call(self, request, sender):
        return len(self.items)

from runtime.otp.gen_server import GenServer

__vsn__ = 1


class Keeper(GenServer):
    def init(self, n):
        self.value = n

    def handle_call(self, request, sender):
        return self.shown()

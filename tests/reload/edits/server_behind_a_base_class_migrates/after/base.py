from runtime.otp.gen_server import GenServer

__vsn__ = 2


class Keeper(GenServer):
    def init(self, n):
        self.values = [n]

    def handle_call(self, request, sender):
        return self.shown()

    def code_change(self, old_version, extra):
        self.values = [self.value]
        del self.value

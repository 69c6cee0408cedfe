from runtime.otp.gen_server import GenServer

__vsn__ = 2


class Basket(GenServer):
    def init(self, n):
        self.n = n
        self.log = []

    def handle_call(self, request, sender):
        return ("v2", self.n, len(self.log))

    def code_change(self, old_version, extra):
        self.log.append("migrated")
        if self.n == 13:
            raise ValueError("unlucky")
        self.n *= 10

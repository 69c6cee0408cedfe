from runtime.otp.gen_server import GenServer


class Counter(GenServer):
    def init(self, start):
        self.n = start

    def handle_call(self, request, sender):
        match request:
            case "next":
                self.n += 1
                return ("new", self.n)
            case "read":
                return self.n

    def handle_cast(self, n):
        self.n += n * 100

    def handle_info(self, message):
        self.n = message

from runtime.otp.typed import TypedServer, handles_call


class Counter(TypedServer):
    def init(self):
        self.count = 0

    @handles_call
    def add(self, number):
        self.count += number
        return self.count

    @handles_call
    def reset(self):
        self.count = 0

from runtime.otp.typed import TypedServer, handles_call


class Counter(TypedServer):
    def init(self):
        self.count = 0

    @handles_call
    def add(self, number, times=1):
        self.count += number * times
        return self.count

    @handles_call
    def peek(self):
        return f"it is {self.count}"

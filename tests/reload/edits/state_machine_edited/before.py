from runtime.kernel import Call
from runtime.otp.state_machine import GenStateMachine, Keep, NextState, Reply


class Door(GenStateMachine):
    def init(self):
        self.log = []
        return NextState("shut")

    def shut(self, kind, content):
        self.log.append(content)
        return NextState("open", Reply(kind, "opened"))

    def open(self, kind, content):
        self.log.append(content)
        return Keep(Reply(kind, "is open"))

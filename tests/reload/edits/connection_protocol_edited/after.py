from runtime.net.framing import Line
from runtime.net.protocol import Protocol


class Echo(Protocol):
    framing = Line(1000)

    def connected(self, conn):
        self.seen = 0

    def frames(self, conn, frames):
        for frame in frames:
            self.seen += 1
            conn.write(self.answer(frame))

    def answer(self, frame):
        return b"new %d %s" % (self.seen, frame.upper())

from base import Command


class Start(Command):
    name = "start"

    def run(self):
        return "started"


class Stop(Command):
    name = "stop"

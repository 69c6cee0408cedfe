from base import Command


class Start(Command):
    name = "begin"

    def run(self):
        return "begun"


class Pause(Command):
    name = "pause"

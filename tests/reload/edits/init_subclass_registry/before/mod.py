from base import Plugin


class First(Plugin, key="first"):
    def run(self):
        return "first"

from base import Plugin


class First(Plugin, key="first"):
    def run(self):
        return "first again " + super().run()


class Second(Plugin, key="second"):
    pass

COUNT = 0


class User:
    def __init__(self, name):
        self.name = name

    def greet(self):
        return f"my name is {self.name}"

class User:
    def __init__(self, name):
        self.name = name

    def greet(self):
        return f"I am {self.name}"


class Admin(User):
    level = 1

class Base:
    def hello(self):
        return "hello"


class Named:
    def name(self):
        return "named " + self.hello()


class Chat(Named, Base):
    pass

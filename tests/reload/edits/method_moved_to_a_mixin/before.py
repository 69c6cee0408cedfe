class Base:
    def hello(self):
        return "hello"


class Chat(Base):
    def name(self):
        return "chat"

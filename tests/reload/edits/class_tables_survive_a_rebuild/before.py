def mark(cls):
    return cls


class Users:
    known: dict = {}
    __hidden: list = []
    limit = 3

    def note(self, name):
        self.known[name] = True
        self.__hidden.append(name)
        return len(self.__hidden)

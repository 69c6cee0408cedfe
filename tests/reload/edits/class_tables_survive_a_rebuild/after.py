def mark(cls):
    return cls


@mark
class Users:
    known: dict[str, bool] = {}
    __hidden: list = []
    limit = 3

    def note(self, name):
        self.known[name] = True
        self.__hidden.append(name)
        return len(self.__hidden)

class Outer:
    __secret = 1

    def __hidden(self):
        return self.__secret

    def show(self):
        return self.__hidden()

    class Base:
        def m(self):
            return "base"

    class Inner(Base):
        __mark = "i"

        def m(self):
            return self.__mark

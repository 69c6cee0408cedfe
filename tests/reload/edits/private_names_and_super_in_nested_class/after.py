class Outer:
    __secret = 2

    def __hidden(self, n=3):
        return self.__secret * n

    def show(self):
        return self.__hidden(), self.__extra()

    def __extra(self):
        return "extra"

    class Base:
        def m(self):
            return "base2"

    class Inner(Base):
        __mark = "j"

        def m(self):
            return self.__mark + super().m()

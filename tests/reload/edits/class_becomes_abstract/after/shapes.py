import abc


class Shape(abc.ABC):
    def name(self):
        return "shape of " + str(self.area())

    @abc.abstractmethod
    def area(self): ...

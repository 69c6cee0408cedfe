from mod import Sized


class Box:
    def size(self):
        return 1


class Crate:
    def size(self):
        return 2


def fits(x):
    return isinstance(x, Sized)

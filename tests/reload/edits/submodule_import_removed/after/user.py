import pkg
import pkg.part


def use():
    return pkg.part.f()

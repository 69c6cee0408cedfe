from tools_here import first


def use():
    return first.f()

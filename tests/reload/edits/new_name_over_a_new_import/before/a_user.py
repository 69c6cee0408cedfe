import b_lib


def use():
    return b_lib.one()

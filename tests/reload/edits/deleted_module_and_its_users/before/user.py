from pkg import old


def use():
    return old.f()

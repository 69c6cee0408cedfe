from mod import run


def use():
    return run()

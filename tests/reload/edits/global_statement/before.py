COUNT = 0


def up():
    global COUNT
    COUNT += 1
    return COUNT

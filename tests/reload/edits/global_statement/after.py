COUNT = 0


def up():
    global COUNT, LAST
    COUNT += 10
    LAST = "up"
    return COUNT


def reset():
    global COUNT
    COUNT = 0
    return COUNT

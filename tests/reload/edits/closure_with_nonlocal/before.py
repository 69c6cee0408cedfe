def counter():
    n = 0

    def up():
        nonlocal n
        n += 1
        return n

    def read():
        return n

    return up, read

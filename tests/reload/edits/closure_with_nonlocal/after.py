def counter():
    n = 0

    def up():
        nonlocal n
        n += 10
        return n

    def read():
        return ("n", n)

    return up, read

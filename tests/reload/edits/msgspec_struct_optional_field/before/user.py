from mod import Frame, decode


def make(n):
    return Frame(n)


def read(data):
    return decode(data)

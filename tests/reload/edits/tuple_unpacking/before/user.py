from mod import B, REST, SUM


def seen():
    return B, REST, SUM

from mod import SIZE, TWICE, limit, low


def seen():
    return (SIZE, TWICE, limit, low)

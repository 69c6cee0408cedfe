from second import MIDDLE as M, limit

TOP = (M + 1, [M])


class Config:
    size = M
    table = {"m": M}


def seen():
    return TOP, Config.size, Config.table, limit(), M

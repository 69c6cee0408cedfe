import enum


class May(enum.Flag, boundary=enum.STRICT):
    READ = 1
    WRITE = 2
    DELETE = 4


class Bits(enum.IntFlag):
    A = 1
    B = 2
    C = 4


class Fits(enum.Flag, boundary=enum.CONFORM):
    A = 1
    B = 2
    C = 4

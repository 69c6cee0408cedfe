import enum


class May(enum.Flag):
    READ = 1
    WRITE = 2
    DELETE = 4


class Bits(enum.IntFlag):
    A = 1
    B = 2
    C = 4

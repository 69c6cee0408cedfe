import lib
from lib import high


def both():
    return lib.low(), high()

import functools

import tools
from tools import Service, scaled as scale

SCALED = scale(10)
MANY = [tools.scaled(n) for n in (1, 2)]
SORTED = sorted([1, 2, -3], key=scale)
MOST = max([1, 2, -3], key=lambda n: -tools.scaled(n))
HELD = functools.partial(scale, 1)
LATER = lambda: scale(10)
MADE = tools.maker(3)
SERVICE = Service()


class Settings:
    size = scale(5)
    later = property(lambda self: scale(5))

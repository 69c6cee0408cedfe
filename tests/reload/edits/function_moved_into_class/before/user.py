import tools
from tools import build, clip


def work(n):
    return clip(n), build(n), tools.clip(n)

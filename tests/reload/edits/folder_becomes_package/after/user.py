import tools_here
from tools_here import first


def use():
    return first.f(), tools_here.f(), tools_here.VERSION

import json as codec
from lib import one as number


def use():
    return codec.dumps(number())

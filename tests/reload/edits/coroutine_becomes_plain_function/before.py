async def load():
    return 1


def items():
    yield 1
    yield 2

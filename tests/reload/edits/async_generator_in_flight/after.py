async def ticks():
    yield 10
    yield 20
    yield 30

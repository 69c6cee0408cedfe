class Source:
    def __init__(self):
        self.left = 3

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        self.left = "new end"

    def __aiter__(self):
        return self

    async def __anext__(self):
        if self.left <= 0:
            raise StopAsyncIteration
        self.left -= 2
        return await Pause("new", self.left)


class Pause:
    def __init__(self, *value):
        self.value = value

    def __await__(self):
        yield "pause"
        yield "again"
        return self.value


async def read(source):
    found = ["fresh"]
    async with source:
        async for one in source:
            found.append(one)
    return found

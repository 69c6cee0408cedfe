class Source:
    def __init__(self):
        self.left = 3

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        self.left = "closed"

    def __aiter__(self):
        return self

    async def __anext__(self):
        if not self.left:
            raise StopAsyncIteration
        self.left -= 1
        return await Pause("old", self.left)


class Pause:
    def __init__(self, *value):
        self.value = value

    def __await__(self):
        yield "pause"
        return self.value


async def read(source):
    found = []
    async with source:
        async for one in source:
            found.append(one)
    return found

def seen(x, memory=[]):
    memory.append(x)
    return memory


def tagged(x, tags={"a": 1}):
    return x, tags

from kinds import Kind, Pair, make


def look():
    return make().left, [one.name for one in Kind], Pair._fields

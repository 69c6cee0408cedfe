from show import show


@show.register(list)
@show.register(tuple)
def show_list(thing):
    return "sequence of " + show(thing[0])


@show.register(bytes)
def show_bytes(thing):
    return "bytes"

from show import show


@show.register(list)
def show_list(thing):
    return "list of " + show(thing[0])


@show.register(str)
def show_text(thing):
    return "text"

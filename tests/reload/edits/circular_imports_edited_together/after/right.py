SCALE = 2


def name():
    return "right"


def other():
    from left import name as left_name

    return left_name("!")


def length():
    import left

    return left.SIZE * SCALE

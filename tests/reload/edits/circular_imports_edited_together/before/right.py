def name():
    return "right"


def other():
    from left import name as left_name

    return left_name()

from shapes import Size, make


def total():
    return make().area(), Size(2, 2).area(), len(Size._fields)

def first():
    return 1


def second():
    return 2


chosen = first


class Tool:
    def cut(self):
        return "cut"

    def glue(self):
        return "glue"

    act = cut
    same = "before"

def first():
    return 1


def second():
    return 20


chosen = second


class Tool:
    def cut(self):
        return "cut"

    def glue(self):
        return "new glue"

    act = glue
    same = "after"

from a import LIMIT, NAMES, Thing

TABLE = {"x": LIMIT}
NAMES.append("b")


class Sub(Thing):
    def m(self):
        return super().m() + LIMIT

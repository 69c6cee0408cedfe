from a import LIMIT, NAMES, Thing

TABLE = {"x": LIMIT, "y": 2}
NAMES.append("bb")
TABLE.update(w=1)


class Sub(Thing):
    def m(self):
        return -1

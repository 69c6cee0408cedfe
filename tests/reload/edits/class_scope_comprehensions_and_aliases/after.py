class Codec:
    kinds = ("a", "b", "c")
    table = {k: i for i, k in enumerate(kinds)}
    size = len(kinds)

    def encode(self, x):
        return ("new", x, super().__hash__() is not None)

    dumps = encode

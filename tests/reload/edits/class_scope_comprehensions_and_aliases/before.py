class Codec:
    kinds = ("a", "b")
    table = {k: i for i, k in enumerate(kinds)}
    size = len(kinds)

    def encode(self, x):
        return ("old", x)

    dumps = encode

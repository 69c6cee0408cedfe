class Node:
    __slots__ = ("value",)

    def __init__(self, value):
        self.value = value

    def shown(self):
        return f"{self.value}"


class Leaf(Node):
    __slots__ = ()

    def shown(self):
        return "leaf"

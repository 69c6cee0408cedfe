class Node:
    value: "str"
    next: "Node | None" = None
    prev: "Node | None" = None

    def link(self, other: "Node") -> "Node":
        self.next = other
        return other


def make(n: "str") -> "Node":
    return Node()

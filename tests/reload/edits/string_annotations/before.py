class Node:
    value: "int"
    next: "Node | None" = None

    def link(self, other: "Node") -> "None":
        self.next = other


def make(n: "int") -> "Node":
    return Node()

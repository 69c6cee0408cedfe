def pick(items, key=lambda x: -x, *, last=lambda x: (x[-1],)):
    return last(sorted(items, key=key))


class Table:
    def order(self, items, key=lambda x: -x):
        return sorted(items, key=key)

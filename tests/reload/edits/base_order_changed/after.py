class Left:
    def side(self):
        return "left"


class Right:
    def side(self):
        return "right"


class Both(Right, Left):
    pass


class Sub(Both):
    def side(self):
        return "sub " + super().side()

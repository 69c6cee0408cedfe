class Field:
    def __init__(self, kind):
        self.kind = kind


class Model:
    title = Field(str)

    def names(self):
        return []

class Shape:
    def name(self):
        return "shape"

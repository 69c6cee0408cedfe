class Tool:
    def run(self, *args):
        return type(self).__name__ + "()", len(args)


class Special(Tool):
    pass

class Tool:
    @staticmethod
    def run(*args):
        return "static", len(args)


class Special(Tool):
    pass

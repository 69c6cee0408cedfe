class Command:
    table = {}
    name = ""

    def __init_subclass__(cls):
        Command.table[cls.name] = cls

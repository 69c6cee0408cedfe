class Runner:
    def run(self):
        return "runner", helper()


def helper():
    return 2


def make():
    return Runner()

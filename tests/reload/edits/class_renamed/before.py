class Worker:
    def run(self):
        return "worker", helper()


def helper():
    return 1


def make():
    return Worker()

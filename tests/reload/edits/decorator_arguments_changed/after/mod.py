import functools


def retry(times):
    def wrap(fn):
        @functools.wraps(fn)
        def run(*args):
            return [fn(*args) for _ in range(times)]

        return run

    return wrap


@retry(3)
def ask(x):
    return x + 1


class Client:
    @retry(3)
    def get(self):
        return "got"

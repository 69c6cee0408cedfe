STATE: dict = {}
COUNT: int = 0

if STATE is not None:
    INNER: dict = {}
    TABLE = {}

    def halve(number: int) -> float:
        return number / 2

    class Box:
        size: int = 1

        def grow(self, by: int) -> None:
            self.size += by


try:
    import no_such_module_anywhere
except ImportError:
    no_such_module_anywhere = None
    FOUND = {}

    def find(name: str) -> str:
        return name


REGISTERED = []


def register(fn):
    REGISTERED.append(fn)
    return fn


if REGISTERED is not None:

    @register
    def listed(number: int) -> int:
        return number

class AppError(Exception):
    pass


class NotFound(AppError):
    def __init__(self, what):
        super().__init__(what)
        self.what = what


def fail():
    raise NotFound("x")


def handle():
    try:
        yield "begun"
        fail()
    except NotFound as error:
        yield "caught", str(error), isinstance(error, LookupError)

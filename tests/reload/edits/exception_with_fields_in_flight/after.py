class AppError(Exception):
    code = 500


class NotFound(AppError, LookupError):
    code = 404

    def __init__(self, what, where="here"):
        super().__init__(f"{what} {where}")
        self.what, self.where = what, where


def fail():
    raise NotFound("x", "there")


def handle():
    try:
        yield "begun"
        fail()
    except LookupError as error:
        yield "new", str(error), error.code

class AppError(Exception):
    code = 500


class NotFound(AppError):
    code = 404


def find(x):
    raise NotFound(x)


def guarded(fn, x):
    try:
        fn(x)
    except AppError as error:
        return error.code

import c_new
from c_new import THREE


def one():
    return 1


def two():
    return 2 * THREE


def back():
    import a_user

    return a_user.use()

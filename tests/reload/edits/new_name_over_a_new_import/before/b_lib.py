import a_user


def one():
    return 1


def back():
    return a_user.use()

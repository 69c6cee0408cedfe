from signals import saved


@saved.connect
def index(value, deep=True):
    return "index", value, deep


def audit(value):
    return "new audit", value


saved.connect(audit)


@saved.connect
def push(value):
    return "push", value

from signals import saved


@saved.connect
def index(value):
    return "index", value


@saved.connect
def mail(value):
    return "mail", value


def audit(value):
    return "audit", value


saved.connect(audit)

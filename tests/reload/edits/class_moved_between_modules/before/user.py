from models import Admin, User

ANNA = User("Anna")
ROOT = Admin("root")


def hello():
    return ANNA.greet(), ROOT.greet(), User("Eve").greet()

from accounts import User


class Admin(User):
    level = 2

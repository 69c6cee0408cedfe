CASE = {
    "title": "a class moves to another module, its old one imports it from there; instances and a subclass live",
    "must": "who imports it from the old place has the class of the new one; living instances are of it",
}


def check(h):
    h.load("accounts")
    user = h.load("user")
    hello, anna, root = user.hello, user.ANNA, user.ROOT
    h.push()
    models, accounts = h.mod("models"), h.mod("accounts")
    assert models.User is accounts.User is user.User and user.User("x").greet() == "my name is x"
    assert isinstance(root, models.Admin) and root.level == 2 and root.greet() == "my name is root"
    assert isinstance(root, accounts.User)
    assert (
        isinstance(anna, accounts.User) and anna.greet() == "my name is Anna" and hello()[0] == anna.greet()
    )
    h.rollback()
    assert hello() == ("I am Anna", "I am root", "I am Eve") and root.level == 1
    assert isinstance(anna, models.User) and isinstance(root, models.User)

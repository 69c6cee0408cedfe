CASE = {
    "title": "a metaclass reads options from an inner class Meta, which change for one model and come for another",
    "must": "what it made of them is that of a cold start, the models stay",
}


def check(h):
    m = h.load()
    User, user = m.User, m.User()
    h.push()
    assert (
        m.User is User
        and user.table == "people"
        and User.indexes == ("name", "mail")
        and m.Group.table == "groups"
    )
    h.rollback()
    assert user.table == "users" and m.Group.table == "group"

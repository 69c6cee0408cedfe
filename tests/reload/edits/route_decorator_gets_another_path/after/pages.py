from web import ROUTES, route


@route("/home")
def start():
    return "home"


@route("/users", "GET")
def users():
    return "users, new"


@route("/hilfe")
def help():
    return "hilfe"


ROUTES["GET", "/?"] = help


@route("/new")
def new():
    return "new"

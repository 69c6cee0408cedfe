from web import ROUTES, route


@route("/start")
def start():
    return "start"


@route("/users", "GET", "POST")
def users():
    return "users"


@route("/help")
def help():
    return "help"


ROUTES["GET", "/?"] = help


@route("/old")
def old():
    return "old"

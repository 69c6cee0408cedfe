CASE = {
    "title": "a handler's path in a registering decorator changes, one handler goes, one comes",
    "must": "the table is that of a cold start: no stale path",
}


def check(h):
    pages = h.load("pages")
    web, start = h.mod("web"), pages.start
    h.push()
    assert web.serve("GET", "/home") == "home" == start() and web.serve("GET", "/new") == "new"
    assert web.serve("GET", "/users") == "users, new"
    assert web.serve("GET", "/hilfe") == "hilfe" == web.serve("GET", "/?")
    stays = [("GET", "/help")]  # for what else puts it there may have put this one, too
    assert sorted(web.ROUTES) == sorted(
        [("GET", "/?"), ("GET", "/hilfe"), ("GET", "/home"), ("GET", "/new"), ("GET", "/users"), *stays]
    )
    h.rollback()
    assert web.serve("GET", "/start") == "start" and web.serve("POST", "/users") == "users"
    assert web.serve("GET", "/help") == "help" == web.serve("GET", "/?")
    paths = ["/?", "/help", "/hilfe", "/old", "/start", "/users"]
    assert sorted(web.ROUTES) == [*(("GET", path) for path in paths), ("POST", "/users")]

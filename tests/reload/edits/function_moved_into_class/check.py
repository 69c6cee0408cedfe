CASE = {
    "title": "functions move into a class as a static and a class method, and aliases stay for their users",
    "must": "users and held references run the new code",
}


def check(h):
    user = h.load("user")
    work, clip, build = user.work, user.clip, user.build
    h.push()
    assert work(9) == (4, ["made", "Tools", 4], 4) and clip(9) == 4 and build(9) == ["made", "Tools", 4]
    h.rollback()
    assert work(9) == (3, ["built", 3], 3) and clip(9) == 3

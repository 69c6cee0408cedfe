CASE = {
    "title": "a function gets functools.cache, and a cached one loses it; both were imported and held",
    "must": "the old references run the new code; the cached one computes once, the other each time",
}


def check(h):
    user = h.load("user")
    square, cube = user.square, user.cube
    assert user.both(2) == (4, 4, 8, 8) and user.CALLS == [2, 2, 2]
    h.push()
    user.CALLS.clear()
    assert user.both(2) == (-4, -4, -8, -8) and user.CALLS == [2, 2, 2]
    assert square(3) == -9 and cube(3) == -27
    assert hasattr(user.square, "cache_info") and not hasattr(user.cube, "cache_info")
    h.rollback()
    assert user.both(2) == (4, 4, 8, 8) and square(3) == 9 and cube(3) == 27

CASE = {
    "title": "TypeVar bounds, a NewType, a type alias and a Generic's parameters change; an instance lives",
    "must": "they are those of a cold start, the classes stay",
}


def check(h):
    m = h.load()
    Box, one, sub, fetch = m.Box, m.Box(1), m.IntBox(2), m.fetch
    h.push()
    assert m.Box is Box and one.get() == ("new", 1) and sub.get() == ("new", 2)
    assert Box.__parameters__ == (m.T, m.K) and m.T.__bound__ is str and m.IntBox.__parameters__ == (m.K,)
    assert m.UserId.__supertype__ is str and fetch.__annotations__["return"] == Box[int, str]
    assert fetch.__annotations__["user"] is m.UserId
    h.rollback()
    assert one.get() == 1 and Box.__parameters__ == (m.T,) and m.T.__bound__ is int

CASE = {
    "title": "a class with a cache and a counter as class attributes gets a new method and another constant",
    "must": "the state stays, the constant is new",
}


def check(h):
    m = h.load()
    pool, cache = m.Pool(), m.Pool.cache
    pool.get("a")
    h.push()
    Pool = h.mod().Pool
    assert Pool.cache is cache and cache == {"a": 0} and Pool.made == 1 and Pool.limit == 50
    assert pool.get("b") == 101 and pool.size() == 2

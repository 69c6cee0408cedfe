CASE = {
    "title": "lines are put in above functions, methods, lambdas, comprehensions and nested functions that do not change",
    "must": "tracebacks of all of them, by held references, show the new lines",
}


def check(h):
    import traceback

    m = h.load()
    c = m.C()
    held = {
        "plain": m.plain,
        "method": c.method,
        "prop": lambda: c.prop,
        "static": m.C.static,
        "inner": m.outer(),
        "lam": m.lam,
    }
    h.push()
    for name, call in held.items():
        try:
            call()
        except KeyError as error:
            last = traceback.extract_tb(error.__traceback__)[-1]
            want = h.line_of(f'KeyError("{name}")') if name != "lam" else h.line_of("lam = lambda")
            assert (last.lineno, f'"{name}"' in last.line) == (want, True), (name, last)

from mod import NotFound

KNOWN = {"missing": NotFound}


def use(fn):
    try:
        fn(1)
    except NotFound as error:
        return error.args

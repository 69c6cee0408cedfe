from mod import NUMBER, PAIR


def seen(text):
    return NUMBER.findall(text), bool(PAIR.fullmatch(text))

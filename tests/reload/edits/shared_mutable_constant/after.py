TABLE = [("a", 1)]
ALIAS = TABLE


class User:
    table = TABLE


def find(key, table=TABLE):
    return dict(table).get(key)

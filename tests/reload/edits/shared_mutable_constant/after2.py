TABLE = {"a": 2, "b": 3}
ALIAS = TABLE


class User:
    table = TABLE


def find(key, table=TABLE):
    return table.get(key)

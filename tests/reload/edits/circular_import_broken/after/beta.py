from common import LIMIT, found, register

STATE = []


@register("beta")
def down(n):
    STATE.append(n)
    return "beta", found("alpha")(min(n, LIMIT) - 1)

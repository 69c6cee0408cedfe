from common import LIMIT, register

import beta


@register("alpha")
def down(n):
    return "alpha", LIMIT, n if n <= 0 else beta.down(n - 1)

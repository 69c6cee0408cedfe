"""The names that `runtime` offers."""

import runtime
from runtime import kernel, otp


def test_a_star_import_gives_them_all():
    names = {}
    exec("from runtime import *", names)
    assert set(kernel.__all__) | set(otp.__all__) <= names.keys()
    assert names["GenServer"] is otp.GenServer
    assert names["call"] is kernel.call is runtime.call

# test_kv.py
from kv import KV

from runtime import stop
from runtime.testing import VirtualClock


def test_a_value_is_forgotten_when_its_time_is_over(clock: VirtualClock) -> None:
    kv = KV.start_link()
    KV.put(kv, "pin", "1234", keep=600.0)
    clock.advance(599.0)
    assert KV.get(kv, "pin") == "1234"
    clock.advance(1.0)
    assert KV.get(kv, "pin") is None
    stop(kv)

# test_kv.py
from kv import KV

from runtime import run, stop
from runtime.testing import leak_check, virtual_clock


def test_a_value_is_forgotten_when_its_time_is_over() -> None:
    def story() -> None:
        with virtual_clock() as clock, leak_check():
            kv = KV.start_link()
            KV.put(kv, "pin", "1234", keep=600.0)
            clock.advance(599.0)
            assert KV.get(kv, "pin") == "1234"
            clock.advance(1.0)
            assert KV.get(kv, "pin") is None
            stop(kv)

    run(story)

# test_uplink.py
from uplink import Uplink

from runtime import call, send, stop
from runtime.testing import VirtualClock, settle


def test_it_dials_less_and_less_often_but_at_least_every_30_seconds(clock: VirtualClock) -> None:
    begin = clock.now()
    dialled: list[float] = []

    def dial() -> bool:
        dialled.append(clock.now() - begin)
        return False

    uplink = Uplink.start_link(dial)
    clock.advance(100.0)
    assert dialled == [0, 1, 3, 7, 15, 31, 61, 91]
    stop(uplink)


def test_a_loss_is_repaired_at_once_and_the_pause_begins_anew(clock: VirtualClock) -> None:
    answers = [False, False, True, False, True]
    uplink = Uplink.start_link(lambda: answers.pop(0))
    clock.advance(3.0)
    assert call(uplink, "state") == "up"
    send(uplink, "lost")
    settle()
    assert call(uplink, "state") == "down"
    clock.advance(1.0)
    assert call(uplink, "state") == "up"
    stop(uplink)

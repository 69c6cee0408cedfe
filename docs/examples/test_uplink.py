# test_uplink.py
from uplink import Uplink

from runtime import call, run, send, stop
from runtime.testing import leak_check, settle, virtual_clock


def test_it_dials_less_and_less_often_but_at_least_every_30_seconds() -> None:
    dialled: list[float] = []

    def story() -> None:
        with virtual_clock() as clock, leak_check():
            begin = clock.now()

            def dial() -> bool:
                dialled.append(clock.now() - begin)
                return False

            uplink = Uplink.start_link(dial)
            clock.advance(100.0)
            stop(uplink)

    run(story)
    assert dialled == [0, 1, 3, 7, 15, 31, 61, 91]


def test_a_loss_is_repaired_at_once_and_the_pause_begins_anew() -> None:
    answers = [False, False, True, False, True]

    def story() -> None:
        with virtual_clock() as clock, leak_check():
            uplink = Uplink.start_link(lambda: answers.pop(0))
            clock.advance(3.0)
            assert call(uplink, "state") == "up"
            send(uplink, "lost")
            settle()
            assert call(uplink, "state") == "down"
            clock.advance(1.0)
            assert call(uplink, "state") == "up"
            stop(uplink)

    run(story)

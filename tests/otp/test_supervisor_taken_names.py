"""A supervisor that is killed leaves children behind that still have to end, and have the names that their followers want."""

from __future__ import annotations

from runtime import kernel
from runtime.kernel import exit, is_alive, sleep, trap_exit, whereis
from runtime.otp import dynamic_supervisor
from runtime.otp.child_spec import ChildSpec, SupFlags
from runtime.otp.dynamic_supervisor import DynamicSupervisor
from runtime.otp.gen_server import GenServer, stop
from runtime.otp.supervisor import Supervisor
from runtime.testing import until


class Slow(GenServer):
    """Takes its time to end."""

    def init(self):
        trap_exit(True)

    def terminate(self, reason):
        sleep(0.3)


class Middle(Supervisor):
    def init(self):
        return SupFlags(intensity=1, period=5.0), [
            ChildSpec("slow", (Slow.start_link, (), {"name": "slow_one"}))
        ]


def test_a_killed_supervisor_is_followed_once_its_childrens_names_are_free(crashes):
    spec = ChildSpec("middle", (Middle.start_link, (), {"name": "middle"}), type="supervisor")
    top = Supervisor.start_link_with(SupFlags(intensity=5, period=30.0), [spec])
    _kill_and_wait(top)


def test_so_under_a_dynamic_supervisor(crashes):
    top = DynamicSupervisor.start_link(intensity=5, period=30.0)
    dynamic_supervisor.start_child(
        top, ChildSpec("middle", (Middle.start_link, (), {"name": "middle"}), type="supervisor")
    )
    _kill_and_wait(top)


def _kill_and_wait(top):
    kernel.unlink(top)
    middle, slow = whereis("middle"), whereis("slow_one")
    exit(middle, kernel.KILL)
    until(lambda: whereis("middle") not in (None, middle) and whereis("slow_one") not in (None, slow))
    assert is_alive(top) and not is_alive(slow)
    stop(top, "shutdown")

"""An application that ends processes of its node by name, when asked to over the control socket.

end {name}             kill it; answers when it is dead
replaced {name}        wait until another one has the name (at once, if it was not ended here)
"""

from __future__ import annotations

from typing import Any

from runtime import kernel, node
from runtime.admin.operations import Denied
from runtime.kernel import KILL, Down, Process, receive_match
from runtime.otp.application import Application
from runtime.otp.child_spec import SupFlags
from runtime.otp.supervisor import Supervisor

_WITHIN = 10.0
_ended: dict[str, Process] = {}


class Killer(Application):
    name = "killer"

    def start(self, start_type: str, config: Any) -> Any:
        operations = node.current().operations
        operations.add("end", _end, changes=True)
        operations.add("replaced", _replaced)
        return Supervisor.start_link_with(SupFlags(), [], name="killer_top")


def _end(request: Any) -> None:
    name = request.arg("name", str)
    pid = _ended[name] = kernel.whereis(name)
    ref = kernel.monitor(pid)
    kernel.exit(pid, KILL)
    receive_match(lambda m: m.__class__ is Down and m.ref is ref)


def _replaced(request: Any) -> None:
    name = request.arg("name", str)
    deadline = kernel.clock.now() + _WITHIN
    while kernel.whereis(name) in (None, _ended.get(name)):
        if kernel.clock.now() > deadline:
            raise Denied("late", f"nobody is {name} again")
        kernel.sleep(0.01)  # there is no event for a name that comes back

from runtime.otp.child_spec import ChildSpec, SupFlags
from runtime.otp.supervisor import Supervisor

import worker


class Tree(Supervisor):
    def init(self):
        return SupFlags(intensity=5), [
            ChildSpec("worker", (worker.Worker.start_link, (2,), {"name": "the_worker"}))
        ]

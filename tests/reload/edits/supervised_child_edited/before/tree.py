from runtime.otp.child_spec import ChildSpec, SupFlags
from runtime.otp.supervisor import Supervisor

import worker


class Tree(Supervisor):
    def init(self):
        return SupFlags(), [ChildSpec("worker", (worker.Worker.start_link, (1,), {"name": "the_worker"}))]

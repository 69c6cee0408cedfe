from low import *
from mid import marked


class Job:
    @marked
    def run(self):
        return 1

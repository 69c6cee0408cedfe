from low import *


class Job:
    @marked
    def run(self):
        return 1

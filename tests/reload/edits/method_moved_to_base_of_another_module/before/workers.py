from base import Base


class Worker(Base):
    def stop(self):
        return ["worker", *super().stop()]

    def restart(self):
        return self.stop() + ["start"]


class Special(Worker):
    def restart(self):
        return ["special", *super().restart()]

from base import Base


class Worker(Base):
    def stop(self):
        return ["worker", *super().stop()]


class Special(Worker):
    def restart(self):
        return ["special", *super().restart()]

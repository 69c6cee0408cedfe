class Base:
    def stop(self):
        return ["new base"]

    def restart(self):
        return self.stop() + ["again"]

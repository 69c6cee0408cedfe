class Base:
    def stop(self):
        return ["base"]

class Box:
    def __getattr__(self, name):
        return f"new {name}"

    def __setattr__(self, name, value):
        self.__dict__[name] = value * 2

    def __getitem__(self, key):
        return key * 2

    def __len__(self):
        return 3

class Token:
    def __new__(cls, text, kind="word"):
        made = super().__new__(cls)
        made.kind = kind
        return made

    def __init__(self, text, kind="word"):
        self.text = text.lower()

    @classmethod
    def parse(cls, raw, kind="raw"):
        return cls(raw.strip(), kind)

import msgspec


class Frame(msgspec.Struct, tag="frame"):
    n: int
    text: str = ""

    def shown(self):
        return f"{self.n}"


DECODER = msgspec.json.Decoder(Frame)

import msgspec

from parts import Box, Part


class Whole(msgspec.Struct):
    part: "Part | None" = None
    other: "Other | None" = None
    inner: "Whole | None" = None


class Other(msgspec.Struct):
    whole: "list[Whole]" = []
    kind: Box.Kind | None = None


class Text(msgspec.Struct):
    kind: "Box.Kind | None" = None


DECODER = msgspec.json.Decoder(Whole)
TEXTS = msgspec.json.Decoder(Text)

# kv.py
from runtime import TypedServer, handles_call, handles_cast, self_, send_after


class KV(TypedServer):
    """Strings by key, each for as long as it was given."""

    def init(self) -> None:
        self.items: dict[str, str] = {}

    @handles_call
    def get(self, key: str) -> str | None:
        return self.items.get(key)

    @handles_call
    def size(self) -> int:
        return len(self.items)

    @handles_cast
    def put(self, key: str, value: str, keep: float | None = None) -> None:
        self.items[key] = value
        if keep is not None:
            send_after(keep, self_(), ("forget", key))

    def handle_info(self, message: object) -> None:
        match message:
            case ("forget", str(key)):
                self.items.pop(key, None)
            case _:
                super().handle_info(message)

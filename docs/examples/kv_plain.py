# kv_plain.py
from typing import Any

from runtime import Call, GenServer, NoReply, Stop


class KV(GenServer):
    def init(self) -> None:
        self.items: dict[str, str] = {}

    def handle_call(self, request: Any, sender: Call) -> Any:
        match request:
            case ("get", key):
                return self.items.get(key)
            case "size":
                return len(self.items)

    def handle_cast(self, request: Any) -> NoReply | Stop | None:
        match request:
            case ("put", key, value):
                self.items[key] = value
            case "close":
                return Stop()
        return None

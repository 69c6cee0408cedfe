# words.py
from kv import KV
from pool import Pool, Words

from runtime import Application, CallError, ChildSpec, Process, Supervisor, SupFlags, whereis
from runtime.config import Config, Key
from runtime.net import Connection, Line, Listener, ListenerConfig, Protocol, listener
from runtime.node import current


class Door(Protocol):
    """One connection. Its lines are commands, its answers lines."""

    framing = Line(1000)

    def frames(self, conn: Connection, frames: list[bytes]) -> None:
        for frame in frames:
            conn.write(self.answer(frame.decode(errors="replace")).encode())

    def answer(self, line: str) -> str:
        command, _, rest = line.partition(" ")
        match command:
            case "count":
                try:
                    return str(Pool.count("pool", rest))
                except CallError as error:
                    return f"failed: {getattr(error.reason, 'message', error.reason)}"
            case "put":
                key, _, value = rest.partition(" ")
                KV.put("kv", key, value)
                return "ok"
            case "get":
                return KV.get("kv", rest) or "none"
            case _:
                return "count TEXT, put KEY VALUE or get KEY"


class Top(Supervisor):
    def init(self, workers: int, port: int) -> tuple[SupFlags, list[ChildSpec]]:
        door = ListenerConfig(name="door", port=port, protocol="words:Door")
        return SupFlags("rest_for_one", intensity=3, period=5.0), [
            KV.child_spec(name="kv"),
            Words.child_spec(workers, name="words"),
            ChildSpec("door", (Listener.start_link, (door,), {"name": "door"})),
        ]


class WordsApplication(Application):
    name = "words"
    config_file = "words.toml"
    schema = (
        Key("words.workers", int, 2, min=1, max=1000, doc="jobs at the same time"),
        Key("words.port", int, 0, min=0, max=65535, doc="where to listen; 0: a free one"),
    )

    def start(self, start_type: str, config: Config) -> Process:
        top = Top.start_link(config.integer("words.workers"), config.integer("words.port"), name="top")
        current().announce("door", "127.0.0.1", listener.port(whereis("door")), "lines")
        return top

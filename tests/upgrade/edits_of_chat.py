"""Edits of the chat application as people make them, one of every kind of module, and releases that must be refused.

An edit is made of the tree's own texts, so that it goes along when the application changes: found by function names where
possible, else by a line that is there once. Each leaves a marker in what it changes (`Site.passed`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from tests.upgrade.site import Texts, mark, replaced

__all__ = [
    "BROKEN",
    "CROWD",
    "FRAMES",
    "USERS",
    "EDITS",
    "Broken",
    "Edit",
    "crowd_2",
    "echoing_labels",
    "handing_over_times",
    "hogging",
    "crashing",
    "protocol_2",
    "users_2",
]

FRAMES = "apps/chat/native/frames.py"
SESSION = "apps/chat/native/session.py"
DIALOGUE = "apps/chat/native/dialogue.py"
OUTBOX = "apps/chat/native/outbox.py"
DOOR = "apps/chat/native/door.py"
USERS = "apps/chat/domain/users.py"
DELIVERY = "apps/chat/domain/delivery.py"
BATCH = "apps/chat/domain/delivery_batch.py"
HOMES = "apps/chat/domain/homes.py"
MESSAGES = "apps/chat/domain/messages.py"
RECORDS = "apps/chat/domain/records.py"
GATEWAYS = "apps/chat/domain/gateways.py"
SUPERVISION = "apps/chat/supervision.py"
APPLICATION = "apps/chat/application.py"
CONFIGURATION = "apps/chat/configuration.py"
CROWD = "apps/probe/crowd.py"

Tree = Mapping[str, str]


@dataclass(frozen=True)
class Edit:
    """`make(tree, marker)` returns what changes. `is_hot`: messages pass the marker; else nobody need do so."""

    name: str
    make: Callable[[Tree, str], Texts]
    is_hot: bool = True


@dataclass(frozen=True)
class Broken:
    """A release that must be refused with this `kind`; `says` is in the refusal."""

    kind: str
    make: Callable[[Tree], Texts]
    says: str = ""


def _frames(tree: Tree, marker: str) -> Texts:
    """Another function body, another text in a table, one more optional frame type."""
    text = mark(tree[FRAMES], "pack", marker)
    text = replaced(text, '"as asked"', '"as you asked"')
    text = replaced(
        text,
        "ClientFrame = Union[",
        'class Typing(Struct, frozen=True, array_like=True, tag=130):\n    """Somebody writes."""\n\n    to: User\n\n\n'
        "ClientFrame = Union[",
    )
    return {FRAMES: replaced(text, "    Read,\n    Logout,\n]", "    Read,\n    Logout,\n    Typing,\n]")}


def _session(tree: Tree, marker: str) -> Texts:
    """The callbacks of a connection that is open, a constant, a new method."""
    text = mark(tree[SESSION], "Session.frames", marker, "self._noted(len(frames))")
    text = replaced(text, "_TICK: Final = 2.5", "_TICK: Final = 2.0")
    return {
        SESSION: replaced(
            text,
            "    # internals\n",
            "    # internals\n\n    def _noted(self, count: int) -> None:\n        self.noted = getattr(self, 'noted', 0) + count\n",
        )
    }


def _dialogue(tree: Tree, marker: str) -> Texts:
    """A method gets another name, and the table that leads to it, too; a feature more."""
    text = mark(tree[DIALOGUE], "Dialogue._ack", marker)
    text = text.replace("def _ack(", "def _acknowledged(").replace('f.Ack: "_ack"', 'f.Ack: "_acknowledged"')
    return {DIALOGUE: replaced(text, '("resume", "read")', '("resume", "read", "typing")')}


def _users(tree: Tree, marker: str) -> Texts:
    """A handler of the user process with another name in a table of bound functions, and a new attribute."""
    text = mark(
        tree[USERS],
        "User._submit",
        marker,
        "self.taken_in = getattr(self, 'taken_in', 0) + len(message.sends)",
    )
    return {USERS: text.replace("def _submit(", "def _take_in(").replace("User._submit", "User._take_in")}


def _delivery(tree: Tree, marker: str) -> Texts:
    """The state machine behind it: a method split in two, a constant, a new attribute."""
    text = mark(tree[DELIVERY], "DeliveryQueue.submit", marker, "self._note_sender(m.sender)")
    text = replaced(text, "MAX_BATCH: Final = 2_000", "MAX_BATCH: Final = 1_500")
    return {
        DELIVERY: replaced(
            text,
            "    # API: commit\n",
            "    def _note_sender(self, sender: str) -> None:\n        self.last_sender = sender\n\n    # API: commit\n",
        )
    }


def _batch(tree: Tree, marker: str) -> Texts:
    """A small class that others have imported by name."""
    return {BATCH: mark(tree[BATCH], "Batch.__init__", marker)}


def _outbox(tree: Tree, marker: str) -> Texts:
    """A decorated class attribute more, and a constant that the dialogue has imported by name."""
    text = mark(tree[OUTBOX], "Outbox.submit", marker)
    return {OUTBOX: replaced(text, "ASK_AGAIN: Final = 5.0", "ASK_AGAIN: Final = 4.0")}


def _homes(tree: Tree, marker: str) -> Texts:
    """An object that all share."""
    return {HOMES: mark(tree[HOMES], "Homes.send", marker)}


def _records(tree: Tree, marker: str) -> Texts:
    """What lies in the store."""
    return {RECORDS: mark(tree[RECORDS], "queue_key", marker)}


def _messages(tree: Tree, marker: str) -> Texts:
    """A field more in a message that is in mailboxes at every moment, and who fills it in."""
    text = replaced(tree[MESSAGES], "    round: int = 0\n", "    round: int = 0\n    hops: int = 0\n")
    outbox = replaced(tree[OUTBOX], "sends, prev, unanswered.round)", "sends, prev, unanswered.round, 1)")
    return {MESSAGES: text, OUTBOX: mark(outbox, "Outbox.submit", marker)}


def _entries(tree: Tree, marker: str) -> Texts:
    """A field more in what lies in the store, and in the batches that are on their way there."""
    last = '    "bytes of bodies ever queued for this user, this one included: makes the queue\'s size a subtraction"\n'
    text = replaced(tree[RECORDS], last, f"{last}    origin: str = 'here'\n")
    return {
        RECORDS: text,
        DIALOGUE: mark(
            tree[DIALOGUE],
            "Dialogue._deliveries",
            marker,
            "assert {e.origin for e in message.entries if hasattr(e, 'body')} <= {'here'}",
        ),
    }


def _supervision(tree: Tree, marker: str) -> Texts:
    """Flags and child specs."""
    text = replaced(
        tree[SUPERVISION],
        'strategy="rest_for_one", intensity=5, period=30.0',
        'strategy="rest_for_one", intensity=6, period=20.0',
    )
    return {SUPERVISION: mark(text, "ChatSupervisor.init", marker)}


def _application(tree: Tree, marker: str) -> Texts:
    """What runs only when the node starts or stops."""
    return {APPLICATION: mark(tree[APPLICATION], "Chat.prep_stop", marker)}


def _gateways(tree: Tree, marker: str) -> Texts:
    """A gateway says it in other words; its object has been made at the start."""
    text = mark(tree[GATEWAYS], "ConsoleGateway.send", marker)
    return {GATEWAYS: replaced(text, "(valid {minutes} min)", "(for {minutes} minutes)")}


def _setting(tree: Tree, marker: str) -> Texts:
    """A setting more: the object that holds them has been made at the start, and the new one has its default there."""
    door = replaced(
        tree[DOOR],
        "    restart_after: float = 2.0\n",
        "    restart_after: float = 2.0\n    kindness: int = 3\n",
    )
    documented = replaced(
        tree[CONFIGURATION],
        '            "restart_after": (\n',
        '            "kindness": ("", 0, 9, "How kind it is."),\n            "restart_after": (\n',
    )
    return {
        DOOR: door,
        CONFIGURATION: documented,
        SESSION: mark(tree[SESSION], "Session.frames", marker, "assert self.door.settings.kindness == 3"),
    }


def _everything(tree: Tree, marker: str) -> Texts:
    """Many modules in one release."""
    found: dict[str, str | None] = {}
    for edit in (_frames, _session, _dialogue, _users, _delivery, _homes, _records, _supervision, _gateways):
        found |= edit(tree, marker)
    return found


EDITS = (
    Edit("frames", _frames), Edit("session", _session), Edit("dialogue", _dialogue), Edit("users", _users),
    Edit("delivery", _delivery), Edit("batch", _batch), Edit("outbox", _outbox), Edit("homes", _homes),
    Edit("records", _records), Edit("messages", _messages), Edit("entries", _entries), Edit("supervision", _supervision),
    Edit("application", _application, is_hot=False), Edit("gateways", _gateways, is_hot=False),
    Edit("setting", _setting), Edit("everything", _everything),
)  # fmt: skip


# Protocol changes


def handing_over_times(tree: Tree) -> Texts:
    """`Deliver` tells when the server gave it out: a field at the end, with a default."""
    last = '    "how often it was sent to this account, this time included"\n'
    return {
        FRAMES: replaced(tree[FRAMES], last, f"{last}    handed: Time = 0\n"),
        DIALOGUE: replaced(tree[DIALOGUE], "entry.time, attempts)", "entry.time, attempts, now_ms())"),
    }


def echoing_labels(tree: Tree) -> Texts:
    """`Send` may carry a label, and `Accepted` gives it back: both grow, and sends are kept until they are answered."""
    text = replaced(
        tree[FRAMES],
        "    kind: Kind\n    body: Body\n\n\nclass Accepted",
        '    kind: Kind\n    body: Body\n    label: Text = ""\n\n\nclass Accepted',
    )
    text = replaced(
        text,
        "    message: MessageId\n    time: Time\n\n\nclass Refused",
        '    message: MessageId\n    time: Time\n    label: Text = ""\n\n\nclass Refused',
    )
    outbox = replaced(
        tree[OUTBOX],
        "        out.extend([f.Accepted(*item) for item in message.items])\n",
        "        kept = self._unanswered.get(message.user)\n"
        "        sends = kept.sends if kept is not None else {}\n"
        '        out.extend([f.Accepted(*item, sends[item[0]].label if item[0] in sends else "") for item in message.items])\n',
    )
    return {FRAMES: text, OUTBOX: outbox}


# Releases that must be refused


def _below(path: str, more: str) -> Callable[[Tree], Texts]:
    return lambda tree: {path: tree[path] + more}


def _slots(tree: Tree) -> Texts:
    return {
        DELIVERY: replaced(
            tree[DELIVERY], '"__dict__", "_acked_total"', '"__dict__", "_acked_late", "_acked_total"'
        )
    }


def _migration_that_raises(tree: Tree) -> Texts:
    text = replaced(tree[CROWD], "__vsn__ = 1", "__vsn__ = 2")
    return {
        CROWD: text
        + "\n    def code_change(self, old, extra):\n        self.count = None\n        if self is not None:\n            raise ValueError('not like that')\n"
    }


BROKEN: dict[str, Broken] = {
    "syntax": Broken("syntax", _below(DIALOGUE, "\n\ndef broken(:\n    pass\n"), "apps/chat/native/dialogue.py"),
    "import": Broken("import", _below(USERS, "\nfrom apps.chat.domain import nothing_like_that\n"), "nothing_like_that"),
    "top level": Broken("import", _below(SESSION, "\n1 / 0\n"), "ZeroDivisionError"),
    "self-check": Broken("selfcheck", _below(FRAMES, "\n\ndef __selfcheck__():\n    assert encode(Ping(1)) == b'', 'no ping'\n"), "no ping"),
    "code_change": Broken("code_change", _migration_that_raises, "not like that"),
    "blocking": Broken("blocking", _below(HOMES, "\nfrom runtime.kernel import sleep\n\nsleep(60.0)\n"), "wait"),
    "layout": Broken("layout", _slots, "alive"),
    "deleted": Broken("deleted", lambda _tree: {OUTBOX: None}, "outbox"),
}  # fmt: skip


# State of another form


def crowd_2(tree: Tree) -> Texts:
    """The members of the crowd keep their count under another name, and one thing more."""
    text = tree[CROWD]
    for old, new in (
        ("__vsn__ = 1", "__vsn__ = 2"),
        ("self.count = 0", 'self.total, self.kind = 0, "member"'),
        ("self.count += 1", "self.total += 1"),
    ):
        text = replaced(text, old, new)
    return {
        CROWD: text
        + """
    def code_change(self, old_version: Any, extra: Any) -> None:
        if old_version == 1:
            self.total, self.kind = self.__dict__.pop("count"), "member"
        elif old_version == ("down", 1):
            self.count = self.__dict__.pop("total")
            del self.kind
"""
    }


def users_2(tree: Tree) -> Texts:
    """The user processes and the connections themselves: another attribute, which code_change makes, and takes away again."""
    change = """
    def code_change(self, old_version: Any, extra: Any) -> None:
        if type(old_version) is tuple:
            del self.generation
        else:
            self.generation = 2
"""
    users = mark(tree[USERS], "User._submit", "users 2", "assert self.generation == 2")
    users = replaced(users, "\n    # callbacks\n", f"{change}\n    # callbacks\n")
    users = replaced(users, "        self.me = me\n", "        self.me = me\n        self.generation = 2\n")
    session = mark(tree[SESSION], "Session.frames", "session 2", "assert self.generation == 2")
    session = replaced(session, "\n    # callbacks\n", f"{change}\n    # callbacks\n")
    session = replaced(
        session, "        self.door = door\n", "        self.door = door\n        self.generation = 2\n"
    )
    return {USERS: _versioned(users, 2), SESSION: _versioned(session, 2)}


def _versioned(text: str, version: int) -> str:
    at = text.index("\n__all__ = ")
    return f"{text[:at]}\n__vsn__ = {version}\n{text[at:]}"


# Releases that show their fault later


def crashing(tree: Tree) -> Texts:
    """A fault that comes once in a while, in the user process: its successor goes on with what was under way."""
    fault = "if hits.PASSED['crash'] % 40 == 0:\n    raise RuntimeError('now and then')"
    return {USERS: mark(tree[USERS], "User._submit", "crash", fault)}


def hogging(tree: Tree) -> Texts:
    """Nobody else gets a turn for a while."""
    fault = "if hits.PASSED['hog'] == 40:\n    import time\n    end = time.monotonic() + 0.8\n    while time.monotonic() < end:\n        pass"
    return {HOMES: mark(tree[HOMES], "Homes.send", "hog", fault)}


def protocol_2(tree: Tree) -> Texts:
    """Both changes of the protocol in one tree."""
    both = {**tree, **{path: text or "" for path, text in echoing_labels(tree).items()}}
    return {**echoing_labels(tree), **handing_over_times(both)}

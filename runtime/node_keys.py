"""The node's own settings, one line each: type, default, unit, bounds; `etc/node.toml` shows them, a test keeps the two alike.

Theory of operation: a `Key` says what a setting is by itself, `problems` what must hold between several. Both only look; reading
files and overrides is `node_config`'s. An application gives the same pair for its own settings: `schema` and
`config_problems` (see `runtime.otp.application`).
"""

from __future__ import annotations

from pathlib import PurePosixPath

from runtime.config import Config, Key

__all__ = ["KEYS", "RESTART_KEYS", "problems"]

KEYS: tuple[Key, ...] = (
    Key(
        "node.name",
        str,
        "evergreen@localhost",
        min=1,
        max=255,
        doc="this node's name in pids, logs and reports",
    ),
    Key("node.data_dir", str, "var", min=1, doc="all that the node writes; one node per directory"),
    Key(
        "node.applications",
        list[str],
        ["apps.chat.application:Chat"],
        doc="what runs here, as module:Class; those they depend on start first",
    ),
    Key(
        "node.stop_timeout",
        float,
        30.0,
        "seconds",
        0.1,
        3600,
        doc="an orderly stop takes no longer, all told",
    ),
    Key(
        "node.crash_dumps",
        int,
        5,
        "files",
        0,
        1000,
        doc="so many dumps of fatal ends are kept; 0: none is made",
    ),
    Key(
        "node.tls_certificate",
        str,
        "",
        doc="PEM file, own certificate first; empty: a development one is made",
    ),
    Key("node.tls_key", str, "", doc="PEM file of its private key, without a passphrase"),
    Key("runtime.hog_warn", float, 0.1, "seconds", 0.01, 60, doc="a callback that runs longer is reported"),
    Key(
        "runtime.hog_kill",
        float,
        5.0,
        "seconds",
        0,
        3600,
        doc="and longer than this, ended; 0: never (debugger)",
    ),
    Key("runtime.mailbox_high", int, 10_000, "messages", 1, 10**9, doc="a longer mailbox raises an alarm"),
    Key("runtime.mailbox_low", int, 1_000, "messages", 0, 10**9, doc="and a shorter one clears it"),
    Key("runtime.check_messages", bool, False, doc="refuse messages that their sender could still change"),
    Key("runtime.gc_young", int, 50_000, "objects", 700, 10**8, doc="new objects before a young collection"),
    Key(
        "runtime.gc_full_every",
        float,
        600.0,
        "seconds",
        0,
        86400,
        doc="a full collection; 0: only when Python does",
    ),
    Key(
        "log.format",
        str,
        "human",
        choices=("human", "json"),
        doc="human: for eyes; json: one object per line",
    ),
    Key(
        "log.level",
        str,
        "info",
        choices=("debug", "info", "warning", "error", "critical"),
        doc="records below it are dropped",
    ),
    Key("log.levels", dict, {}, doc='other levels by module: { "runtime.net" = "debug" }'),
    Key("log.sync", int, 10, "lines", 1, 10**6, doc="from so many waiting on, a process waits for its line"),
    Key("log.drop", int, 200, "lines", 1, 10**6, doc="from so many waiting on, further ones are dropped"),
    Key("log.flush", int, 1_000, "lines", 1, 10**7, doc="from so many waiting on, these are dropped"),
    Key(
        "log.burst",
        int,
        500,
        "records",
        0,
        10**7,
        doc="more than that within a window are dropped; 0: no limit",
    ),
    Key("log.burst_window", float, 1.0, "seconds", 0.01, 3600, doc="the window of log.burst"),
    Key("log.overload_kill", bool, False, doc="cut the log off for a while when too much of it waits"),
    Key("log.kill_lines", int, 20_000, "lines", 1, 10**7, doc="waiting, more of them cut it off"),
    Key("log.kill_bytes", int, 3_000_000, "bytes", 1_000, 10**9, doc="waiting, more of them cut it off"),
    Key("log.restart_after", float, 5.0, "seconds", 0.01, 3600, doc="so long the log stays cut off"),
    Key("alarms.interval", float, 1.0, "seconds", 0.05, 3600, doc="how often the node looks at its health"),
    Key(
        "alarms.hold",
        float,
        10.0,
        "seconds",
        0,
        3600,
        doc="so long a cause is away before its alarm is cleared",
    ),
    Key("alarms.event_for", float, 60.0, "seconds", 1, 86400, doc="so long an alarm of an event stays"),
    Key("alarms.lag_high", float, 0.5, "seconds", 0.01, 3600, doc="a timer that late raises loop_lag"),
    Key("alarms.lag_low", float, 0.1, "seconds", 0, 3600, doc="and that late clears it"),
    Key(
        "alarms.run_queue_high",
        int,
        10_000,
        "processes",
        1,
        10**9,
        doc="so many that wait to run raise run_queue",
    ),
    Key("alarms.run_queue_low", int, 1_000, "processes", 0, 10**9, doc="and so many clear it"),
    Key("alarms.memory_high", float, 0.8, "share", 0, 2, doc="of the memory it may use; above 1: never"),
    Key("alarms.memory_low", float, 0.7, "share", 0, 2, doc="clears large_memory"),
    Key(
        "alarms.descriptors_high",
        float,
        0.85,
        "share",
        0,
        2,
        doc="of the file descriptors; above 1: never",
    ),
    Key("alarms.descriptors_low", float, 0.75, "share", 0, 2, doc="clears descriptors"),
    Key("alarms.disk_high", float, 0.9, "share", 0, 2, doc="of the disk of data_dir; above 1: never"),
    Key("alarms.disk_low", float, 0.85, "share", 0, 2, doc="clears disk"),
    Key("alarms.disk_interval", float, 30.0, "seconds", 0.05, 86400, doc="how often the disk is looked at"),
    Key(
        "alarms.busy_connections",
        int,
        1,
        "connections",
        1,
        10**9,
        doc="so many that do not read what is written",
    ),
    Key(
        "alarms.store_stalled",
        float,
        2.0,
        "seconds",
        0.1,
        3600,
        doc="so long no commit is answered though some wait",
    ),
    Key(
        "alarms.latency_high", float, 1.0, "seconds", 0.001, 3600, doc="a commit that slow raises store_slow"
    ),
    Key("alarms.latency_low", float, 0.2, "seconds", 0, 3600, doc="and that fast clears it"),
    Key(
        "alarms.threads_high", int, 100, "jobs", 1, 10**9, doc="so many that wait for a thread raise threads"
    ),
    Key("alarms.threads_low", int, 20, "jobs", 0, 10**9, doc="and so many clear it"),
    Key(
        "alarms.restarts", int, 5, "failures", 1, 10**6, doc="of one child, within the time below: crash_loop"
    ),
    Key("alarms.restarts_within", float, 60.0, "seconds", 0.05, 86400, doc="the time for alarms.restarts"),
    Key(
        "alarms.certificate_left",
        float,
        14 * 86_400.0,
        "seconds",
        0,
        10**9,
        doc="a certificate that ends sooner raises certificate; 0: never",
    ),
    Key(
        "alarms.webhook",
        str,
        "",
        doc="URL that is sent each alarm and its end as JSON (POST); empty: none",
        secret=True,
    ),
    Key(
        "alarms.apprise",
        list[str],
        [],
        doc="apprise URLs that are sent each alarm and its end as text",
        secret=True,
    ),
    Key(
        "alarms.send_level",
        str,
        "warning",
        choices=("info", "warning", "error", "critical"),
        doc="alarms below it are not sent",
    ),
    Key("alarms.send_timeout", float, 10.0, "seconds", 0.1, 300, doc="an attempt takes no longer"),
    Key(
        "alarms.send_retries", int, 5, "attempts", 0, 100, doc="more, with growing pauses, then it is dropped"
    ),
    Key(
        "alarms.send_pause",
        float,
        1.0,
        "seconds",
        0.01,
        3600,
        doc="the first of those pauses; each is twice the last",
    ),
    Key("cluster.shards", int, 64, "shards", 1, 4096, doc="fixed when the data directory is made"),
    Key(
        "store.map_initial",
        int,
        64 * 2**20,
        "bytes",
        2**20,
        2**46,
        doc="the file's limit at first; it doubles by itself",
    ),
    Key(
        "store.max_size",
        int,
        0,
        "bytes",
        0,
        2**47,
        doc="writes beyond it are refused; 0: the disk is the limit",
    ),
    Key(
        "store.reserve",
        int,
        4 * 2**20,
        "bytes",
        2**20,
        2**40,
        doc="kept back so that deletes go on when it is full",
    ),
    Key("store.start_timeout", float, 60.0, "seconds", 1, 86400, doc="opening and migrations together"),
    Key(
        "store.check_upto",
        int,
        256 * 2**20,
        "bytes",
        0,
        2**47,
        doc="a file of at most this size is read page by page at each start",
    ),
    Key("store.max_pending", int, 100_000, "commits", 100, 10**7, doc="unanswered ones; more are refused"),
    Key(
        "store.max_pending_bytes",
        int,
        256 * 2**20,
        "bytes",
        2**20,
        2**40,
        doc="what these hold together; more are refused",
    ),
    Key(
        "code.mode",
        str,
        "watch",
        choices=("watch", "push", "off"),
        doc="watch: saved files are live; push: tools/push alone; off: a change takes a restart",
    ),
    Key("code.roots", list[str], ["apps"], min=1, doc="folders of live code, beneath where the node starts"),
    Key("code.quiet", float, 0.1, "seconds", 0.001, 60, doc="so long nothing is saved before it goes live"),
    Key("code.max_wait", float, 2.0, "seconds", 0.01, 600, doc="but no longer after the first save"),
    Key(
        "code.hold", float, 1.0, "seconds", 0, 60, doc="so long a file that looks half written is waited for"
    ),
    Key("code.poll", float, 0.5, "seconds", 0.01, 600, doc="how often files are looked at without events"),
    Key("code.quiesce", float, 5.0, "seconds", 0.01, 3600, doc="so long a release waits for busy processes"),
    Key(
        "code.check", bool, True, doc="import a release from scratch in a process beside, before it goes live"
    ),
    Key("code.check_limit", float, 10.0, "seconds", 0.1, 3600, doc="so long that may take"),
    Key("code.probation", float, 60.0, "seconds", 0, 86400, doc="how long a release is watched; 0: not"),
    Key("code.watch_probation", float, 10.0, "seconds", 0, 86400, doc="and a saved file; 0: not"),
    Key("code.max_crashes", int, 3, "crashes", 0, 10**6, doc="so many more roll it back; 0: never"),
    Key("code.max_restarts", int, 5, "children", 0, 10**6, doc="so many more ended ones do; 0: never"),
    Key("code.max_hogs", int, 1, "callbacks", 0, 10**6, doc="so many more that held the node do; 0: never"),
    Key("code.max_alarms", int, 1, "alarms", 0, 10**6, doc="so many more do; 0: never"),
    Key("code.max_errors", int, 10, "records", 0, 10**6, doc="so many more logged errors do; 0: never"),
    Key("code.max_lag", float, 0.05, "seconds", 0, 60, doc="so much later timers do, on average; 0: never"),
    Key("code.max_busy", float, 0.4, "share", 0, 1, doc="so much more time in changed code does; 0: never"),
    Key(
        "code.keep",
        int,
        200,
        "releases",
        1,
        100_000,
        doc="so many stay in the release log, with their sources",
    ),
    Key("code.allowed_keys", str, "", doc="file or folder of the keys that may push; empty: the node's own"),
    Key("code.bundle_age", float, 86_400.0, "seconds", 1, 604_800, doc="an older bundle is refused"),
    Key("code.bundle_size", int, 16 * 2**20, "bytes", 1_024, 20 * 2**20, doc="a bigger bundle is refused"),
    Key("admin.http_port", int, 7290, min=-1, max=65535, doc="the dashboard; 0: any free port, -1: none"),
    Key(
        "admin.http_names", list[str], [], doc="hosts under which it is reached besides 127.0.0.1, localhost"
    ),
    Key("admin.uids", list[int], [], doc="users besides the node's own and root who may control it"),
    Key("admin.port", int, 0, min=0, max=65535, doc="control by mutual TLS, too; 0: no, the socket alone"),
    Key("admin.host", str, "127.0.0.1", min=1, doc="the address of admin.port"),
    Key("admin.clients", str, "", doc="PEM file of the authority whose certificates may control the node"),
    Key("admin.certificate", str, "", doc="PEM file for admin.port; empty: the node's certificate"),
    Key("admin.key", str, "", doc="PEM file of its private key"),
    Key(
        "admin.remote_shell",
        bool,
        False,
        doc="whether who controls it by admin.port has the shell too, which may do anything",
    ),
)

RESTART_KEYS = (
    "node.name",
    "node.data_dir",
    "node.applications",
    "log.format",
    "cluster.",
    "store.",
    "code.mode",
    "code.roots",
    "code.quiet",
    "code.max_wait",
    "code.hold",
    "code.poll",
    "code.keep",
    "code.bundle_",
    "code.allowed_keys",
    "admin.",
)
"""What only holds from the next start on (marked `(start)` in the file)."""


def problems(config: Config) -> list[tuple[str, str]]:
    """Return what is wrong between several keys, each right by itself: (the key to change, the rest of the sentence)."""
    found: list[tuple[str, str]] = []

    def wrong(name: str, message: str) -> None:
        found.append((name, message))

    if config.integer("runtime.mailbox_low") >= config.integer("runtime.mailbox_high"):
        wrong("runtime.mailbox_low", "must be below runtime.mailbox_high")
    if 0 < config.number("runtime.hog_kill") <= config.number("runtime.hog_warn"):
        wrong("runtime.hog_kill", "must be above runtime.hog_warn, or 0")
    if bool(config.text("node.tls_certificate")) != bool(config.text("node.tls_key")):
        name = "node.tls_key" if config.text("node.tls_certificate") else "node.tls_certificate"
        wrong(name, "must be set too: certificate and key go together")
    if 0 < config.integer("store.max_size") < config.integer("store.map_initial"):
        wrong("store.map_initial", "must not be above store.max_size")
    if config.integer("admin.port") and not config.text("admin.clients"):
        wrong(
            "admin.clients", "must be set: with admin.port, it says whose certificates may control the node"
        )
    if bool(config.text("admin.certificate")) != bool(config.text("admin.key")):
        name = "admin.key" if config.text("admin.certificate") else "admin.certificate"
        wrong(name, "must be set too: certificate and key go together")
    hook = config.text("alarms.webhook")
    if hook and not hook.startswith(("http://", "https://")):
        wrong("alarms.webhook", "must begin with http:// or https://")
    for folder in config.items_of("code.roots"):
        path = PurePosixPath(folder)
        if path.is_absolute() or not all(part.isidentifier() for part in path.parts):
            wrong("code.roots", "must name folders of packages beneath the one where the node starts")
            break
    for low, high in _RISING:
        if config[low] > config[high]:
            wrong(low, f"must not be above {high}")
    levels = next(key for key in KEYS if key.name == "log.level").choices or ()
    for module, level in config["log.levels"].items():
        if level not in levels:
            wrong("log.levels", f"gives {module} a level that is none of {', '.join(levels)}")
    return found


# Internals

_RISING = (
    ("log.sync", "log.drop"),
    ("log.drop", "log.flush"),
    ("alarms.lag_low", "alarms.lag_high"),
    ("code.quiet", "code.max_wait"),
    ("alarms.run_queue_low", "alarms.run_queue_high"),
    ("alarms.memory_low", "alarms.memory_high"),
    ("alarms.descriptors_low", "alarms.descriptors_high"),
    ("alarms.disk_low", "alarms.disk_high"),
    ("alarms.latency_low", "alarms.latency_high"),
    ("alarms.threads_low", "alarms.threads_high"),
)
"""Settings of which the first must not be above the second."""

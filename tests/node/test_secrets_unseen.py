"""What is secret in the settings is shown nowhere: not in a repr, a complaint, a report, a dump or a shell."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import pytest

from apps.chat.application import Chat
from apps.chat.configuration import SECTIONS
from runtime.admin.client import Client
from runtime.code.watch import WatchConfig
from runtime.config import Config, ConfigErrors, Key, load, load_files
from runtime.node_keys import KEYS
from runtime.observe.alarm_sender import Ways
from runtime.observe.sysmon import Limits
from runtime.otp.reports import format_term
from tests.support.node import ROOT, Node

pytestmark = pytest.mark.plain

HIDDEN = "SECRET123"
SCHEMAS = (KEYS, Chat.schema)
CLASSES: list[tuple[type[Any], str]] = [
    *((cls, section) for section, (cls, _) in SECTIONS.items()),
    (Ways, "alarms"), (Limits, "alarms"), (WatchConfig, "code"),
]  # fmt: skip
FILES = {"node.tls_certificate", "node.tls_key", "admin.certificate", "admin.key", "code.allowed_keys"}
SECRETS = [key for schema in SCHEMAS for key in schema if key.secret]


def given(key: Key) -> str:
    return f"{key.name}=http://user:{HIDDEN}@127.0.0.1:9/"


def loaded() -> Config:
    return load_files([(None, schema) for schema in SCHEMAS], [given(key) for key in SECRETS])


def test_every_setting_that_can_hold_a_secret_is_marked() -> None:
    """A text called a secret, token, password or key, or that is a URL, unless it is the path of a file."""
    suspicious = re.compile(r"secret|token|password|passphrase|_key|webhook|apprise|url")
    texts = [key for schema in SCHEMAS for key in schema if key.type in (str, list[str])]
    found = {key.name for key in texts if suspicious.search(key.name) or "URL" in key.doc} - FILES
    assert {"chat.registration.webhook_secret", "alarms.apprise"} <= found
    assert found == {key.name for key in SECRETS}


def test_no_secret_is_in_a_text_of_the_settings_or_of_what_is_made_of_them() -> None:
    config = loaded()
    made = [config.into(cls, section) for cls, section in CLASSES]
    shown = [
        config,
        dict(config),
        config.only(config),
        config.difference({}),
        config.section("alarms"),
        *made,
    ]
    for one in shown:
        for text in (repr(one), str(one), format_term(one), f"{[one]}"):
            assert HIDDEN not in text
    for key in SECRETS:
        assert HIDDEN in str(config[key.name] if key.type is str else config[key.name][0])  # but it is there
        assert "***" in repr(config[key.name])
    assert repr(load(None, KEYS)["alarms.webhook"]) == "''"  # that there is none is no secret


@pytest.mark.parametrize("key", SECRETS, ids=lambda key: key.name)
def test_no_complaint_tells_a_secret(key: Key) -> None:
    """A wrong type, a slip in the name, a forgotten `=`."""
    wrong = [f"{key.name}=[1, '{HIDDEN}']" if key.type is not str else f'{key.name}="{HIDDEN}\\u0000"']
    wrong += [f"{key.name}x={HIDDEN}", f"{key.name}:{HIDDEN}"]
    for text in wrong:
        with pytest.raises(ConfigErrors) as found:
            load(None, [one for schema in SCHEMAS for one in schema], [text])
        assert key.name in str(found.value)
        assert HIDDEN not in str(found.value) + repr(found.value.errors)


def check(*settings: str) -> str:
    command = [sys.executable, "-m", "runtime.node", "--check"]
    for setting in settings:
        command += ["--set", setting]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    return done.stdout + done.stderr


def test_check_tells_none_whether_all_is_well_or_not() -> None:
    assert "is valid" in (well := check(*map(given, SECRETS)))
    assert "must begin with" in (ill := check(f"alarms.webhook=ftp://{HIDDEN}"))
    assert "wanted: a list" in (worse := check(f"alarms.apprise=[1, '{HIDDEN}']"))
    assert HIDDEN not in well + ill + worse


@pytest.mark.slow
def test_no_report_log_shell_or_dump_of_a_node_has_one(tmp_path: Path) -> None:
    """A registrar is killed, so that its supervisor says with what it was started; the node ends with a dump."""
    both = "node.applications=apps.chat.application:Chat,tests.support.killer:Killer"
    with Node(tmp_path / "var", "cluster.shards=4", "log.level=debug", both, *map(given, SECRETS)) as node:
        with Client.connect(tmp_path / "var" / "admin.sock") as client:
            client.ask("end", {"name": "chat_registrar"})
            client.ask("replaced", {"name": "chat_registrar"})
            states = json.dumps(
                [client.ask("state", {"who": who}) for who in ("chat_services", "chat_registrar")]
            )
        code = "import runtime.node; n = runtime.node.current(); print(n.config, dict(n.config)); vars(n)"
        command = [ROOT / "tools" / "shell", "--socket", tmp_path / "var" / "admin.sock", "-c", code]
        shell = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert "***" in shell.stdout, shell.stderr
        with Client.connect(tmp_path / "var" / "admin.sock") as client:
            client.ask("end", {"name": "killer_top"})
        node.wait(lambda: node.process is not None and node.process.poll() is not None)
        node._gone()
        (dump,) = (tmp_path / "var" / "crash").glob("*.dump")
        inside = zlib.decompress(dump.read_bytes().partition(b"\n")[2])
        log = node.log_file.read_text()
        assert "RegistrationSettings" in log
        assert b"chat_registrar" in inside
        for text in (log, node.out_file.read_text(), shell.stdout + shell.stderr, states, repr(inside)):
            assert HIDDEN not in text

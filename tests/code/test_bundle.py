"""Bundles: what is signed arrives; whatever was changed, left out, added or made up is refused, and nothing else raised."""

from __future__ import annotations

import configparser
import dataclasses
import random
from pathlib import Path

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.code import bundle
from runtime.code.blobs import digest
from runtime.code.bundle import (
    BadBundle,
    Limits,
    Manifest,
    Order,
    new_nonce,
    pack,
    pack_order,
    python_version,
    unpack,
    unpack_order,
)
from runtime.code.keys import make_pair
from runtime.code.release_log import release_id

pytestmark = pytest.mark.plain
NOW = 1_800_000_000.0
TEXTS = {"apps/a.py": "x = 1\n", "apps/b/__init__.py": "", "apps/b/c.py": "__vsn__ = 2\nname = 'é'\n"}


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    directory = tmp_path_factory.mktemp("keys")
    made = {name: make_pair(directory, name) for name in ("alice", "stranger")}
    made["stager"] = make_pair(directory, "stager", ["stage"])
    made["activator"] = make_pair(directory, "activator", ["activate"])
    return made


@pytest.fixture
def alice(keys):
    return keys["alice"]


@pytest.fixture
def allowed(keys):
    return {key.public.id: key.public for name, key in keys.items() if name != "stranger"}


def manifest(texts=TEXTS, **more):
    files = {path: digest(text.encode()) for path, text in texts.items()}
    values = {
        "base": "0" * 12,
        "release": release_id(files),
        "files": files,
        "deleted": ("apps/old.py",),
        "vsns": {"apps/b/c.py": 2} if "apps/b/c.py" in texts else {},
        "requires": {"python": python_version(), "runtime": bundle.RUNTIME_VERSION},
        "author": "Alice",
        "time": NOW,
        "nonce": new_nonce(),
        "note": "a note",
    }
    return Manifest(**{**values, **more})


def refused(kind, data, allowed, **options):
    options.setdefault("now", NOW)
    with pytest.raises(BadBundle) as caught:
        unpack(data, allowed, **options)
    assert caught.value.kind == kind, caught.value
    assert str(caught.value)
    return str(caught.value)


def reseal(outer, key, inner):
    """Sign other manifest bytes: what only the owner of a key can do."""
    return msgpack.packb(
        {
            **outer,
            "manifest": inner,
            "key": key.public.id,
            "signature": key.sign(b"evergreen bundle\0" + inner),
        }
    )


def changed(data, key, **values):
    """The bundle with other values in its manifest, signed properly."""
    outer = msgpack.unpackb(data)
    found = {**msgpack.unpackb(outer["manifest"]), **values}
    return reseal(outer, key, bundle._canonical(found))


def test_what_was_packed_arrives(alice, allowed):
    sent = manifest()
    opened = unpack(pack(sent, TEXTS, alice), allowed, now=NOW)
    assert opened.sources == {**TEXTS, "apps/old.py": None}
    assert dataclasses.asdict(opened.manifest) == dataclasses.asdict(sent)
    assert opened.key.name == "alice"


def test_the_same_content_has_the_same_bytes(alice):
    sent = manifest()
    backwards = dataclasses.replace(sent, files=dict(reversed(sent.files.items())))
    assert pack(sent, TEXTS, alice) == pack(backwards, TEXTS, alice)


def test_every_changed_byte_is_noticed(alice, allowed):
    data = pack(manifest(), TEXTS, alice)
    for position in range(len(data)):
        broken = bytearray(data)
        broken[position] ^= 1 << random.Random(position).randrange(8)
        with pytest.raises(BadBundle):
            unpack(bytes(broken), allowed, now=NOW)


def test_every_cut_is_noticed(alice, allowed):
    data = pack(manifest(), TEXTS, alice)
    for end in range(0, len(data), 7):
        refused("format", data[:end], allowed)
    refused("format", data + b"\0", allowed)


@given(st.binary(max_size=200))
@settings(max_examples=300, deadline=None)
def test_random_bytes_are_no_bundle(data):
    with pytest.raises(BadBundle):
        unpack(data, {})


def test_an_unknown_key(keys, allowed):
    text = refused("key", pack(manifest(), TEXTS, keys["stranger"]), allowed)
    assert keys["stranger"].public.id in text
    assert "code.allowed_keys" in text


def test_the_name_of_a_known_key_over_a_strangers_signature(keys, allowed):
    outer = msgpack.unpackb(pack(manifest(), TEXTS, keys["stranger"]))
    refused("signature", msgpack.packb({**outer, "key": keys["alice"].public.id}), allowed)


def test_a_signed_order_is_no_signed_bundle(alice, allowed):
    outer = msgpack.unpackb(pack(manifest(), TEXTS, alice))
    inner = outer["manifest"]
    stolen = {**outer, "signature": alice.sign(b"evergreen order\0" + inner)}
    refused("signature", msgpack.packb(stolen), allowed)


def test_roles(keys, allowed):
    staged = pack(manifest(), TEXTS, keys["stager"])
    assert "may stage, and not activate" in refused("role", staged, allowed)
    assert unpack(staged, allowed, role="stage", now=NOW).key.name == "stager"
    active = pack(manifest(), TEXTS, keys["activator"])
    assert unpack(active, allowed, role="stage", now=NOW).key.name == "activator"


@pytest.mark.parametrize(
    "path",
    [
        "/etc/passwd.py", "../x.py", "apps/../x.py", "apps/..", "apps//x.py", "./x.py", "apps/./x.py", "apps/x.py/", "",
        "apps\\x.py", "C:\\x.py", "apps/x\0.py", "apps/x\n.py", "apps/.hidden/x.py", "apps/.py", "apps/x.so", "apps/x.pyc",
        "apps/x", "apps/x.PY", "apps/e\u0301.py", "~/x.py/..", "x" * 1100 + ".py", "apps/" + "x" * 300 + ".py", 7, None, b"x.py",
    ],
)  # fmt: skip
def test_paths_that_lead_elsewhere_or_to_no_python(alice, allowed, path):
    data = pack(manifest(), TEXTS, alice)
    refused("path", changed(data, alice, deleted=[path]), allowed)
    if isinstance(path, str):
        files = {**manifest().files, path: digest(b"x = 1\n")}
        refused("path", changed(data, alice, files=files), allowed)


def test_one_file_under_two_names(alice, allowed):
    data = pack(manifest(), TEXTS, alice)
    refused("path", changed(data, alice, deleted=["apps/A.py"]), allowed)
    refused("path", changed(data, alice, deleted=["apps/a.py"]), allowed)
    refused("path", changed(data, alice, deleted=["apps/old.py", "apps/old.py"]), allowed)


def test_hashes_that_do_not_fit(alice, allowed):
    data = pack(manifest(), TEXTS, alice)
    outer = msgpack.unpackb(data)
    blobs = outer["blobs"]
    name = digest(b"x = 1\n")
    for other in (
        {**blobs, name: b"x = 2\n"},
        {key: value for key, value in blobs.items() if key != name},
        {**blobs, digest(b"more"): b"more"},
        {},
        [],
    ):
        refused("hash", msgpack.packb({**outer, "blobs": other}), allowed)
    refused("size", msgpack.packb({**outer, "blobs": {**blobs, name: "x = 1\n"}}), allowed)


def test_sizes(alice, allowed):
    data = pack(manifest(), TEXTS, alice)
    assert "is the limit" in refused("size", data, allowed, limits=Limits(bundle=len(data) - 1))
    assert unpack(data, allowed, limits=Limits(bundle=len(data)), now=NOW)
    refused("size", data, allowed, limits=Limits(files=3))
    refused("size", data, allowed, limits=Limits(file=8))
    refused("size", changed(data, alice, files={}, vsns={}, deleted=[]), allowed)
    many = {f"apps/m{n}.py": digest(b"") for n in range(200)}
    refused("format", changed(data, alice, files=many), allowed, limits=Limits(files=10))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("format", 2), ("format", None), ("base", "xyz"), ("base", "0" * 13), ("base", b"0" * 12), ("release", ""),
        ("files", []), ("files", {"apps/a.py": "no hash"}), ("files", {"apps/a.py": 7}), ("deleted", {}), ("vsns", []),
        ("vsns", {"apps/other.py": 1}), ("vsns", {"apps/a.py": [1]}), ("requires", []), ("requires", {"python": 3}),
        ("author", 7), ("author", "x" * 5000), ("note", None), ("time", "now"), ("time", True), ("time", float("nan")),
        ("time", float("inf")), ("nonce", ""), ("nonce", "g" * 32), ("nonce", 5), ("more", 1),
    ],
)  # fmt: skip
def test_manifests_of_another_form(alice, allowed, name, value):
    refused("format", changed(pack(manifest(), TEXTS, alice), alice, **{name: value}), allowed)


def test_a_manifest_with_a_part_missing(alice, allowed):
    outer = msgpack.unpackb(pack(manifest(), TEXTS, alice))
    for name in msgpack.unpackb(outer["manifest"]):
        found = msgpack.unpackb(outer["manifest"])
        del found[name]
        refused("format", reseal(outer, alice, bundle._canonical(found)), allowed)


def test_a_form_that_is_not_canonical(alice, allowed):
    outer = msgpack.unpackb(pack(manifest(), TEXTS, alice))
    found = msgpack.unpackb(outer["manifest"])
    backwards = msgpack.packb(dict(reversed(found.items())))
    refused("format", reseal(outer, alice, backwards), allowed)
    # The same key twice: readers differ in which one they believe.
    twice = bytearray(outer["manifest"])
    assert twice[0] == 0x80 + len(found)
    twice[0] += 1
    refused(
        "format", reseal(outer, alice, bytes(twice) + msgpack.packb("note") + msgpack.packb("b")), allowed
    )


@pytest.mark.parametrize("inner", [b"", b"\xc0", b"\x90", b"\x91" * 3000 + b"\x90", b"\x81\x01\x01", b"\xc1"])
def test_signed_nonsense(alice, allowed, inner):
    outer = msgpack.unpackb(pack(manifest(), TEXTS, alice))
    refused("format", reseal(outer, alice, inner), allowed)


def test_nested_without_end_inside_a_manifest(alice, allowed):
    outer = msgpack.unpackb(pack(manifest(), TEXTS, alice))
    inner = outer["manifest"].replace(msgpack.packb("Alice"), b"\x91" * 500 + b"\x90")
    assert inner != outer["manifest"]
    refused("format", reseal(outer, alice, inner), allowed)


def test_text_that_is_not_utf8(alice, allowed):
    outer = msgpack.unpackb(pack(manifest({"apps/a.py": ""}, deleted=()), {"apps/a.py": ""}, alice))
    name = digest(b"\xff")
    found = {**msgpack.unpackb(outer["manifest"]), "files": {"apps/a.py": name}}
    outer["blobs"] = {name: b"\xff"}
    assert "apps/a.py is not UTF-8" in refused(
        "format", reseal(outer, alice, bundle._canonical(found)), allowed
    )


def test_age_and_clocks(alice, allowed):
    data = pack(manifest(), TEXTS, alice)
    assert "make it anew" in refused("time", data, allowed, now=NOW + 86_401)
    assert "are both clocks right" in refused("time", data, allowed, now=NOW - 301)
    assert unpack(data, allowed, now=NOW + 86_399)
    assert unpack(data, allowed, now=NOW - 299)


def test_made_for_another_python_or_runtime(alice, allowed):
    for requires in (
        {},
        {"python": "2.7", "runtime": bundle.RUNTIME_VERSION},
        {"python": python_version(), "runtime": "9"},
    ):
        text = refused("requires", pack(manifest(requires=requires), TEXTS, alice), allowed)
        assert "this node has" in text


def test_the_runtimes_version_is_that_of_the_package():
    config = configparser.ConfigParser()
    config.read(Path(__file__).resolve().parents[2] / "setup.cfg")
    assert config["metadata"]["version"] == bundle.RUNTIME_VERSION


def order(**more):
    values = {"order": "rollback", "release": "", "base": "0" * 12, "time": NOW, "nonce": new_nonce()}
    return Order(**{**values, **more})


def test_orders(keys, allowed):
    sent = order(release="1" * 12)
    found, key = unpack_order(pack_order(sent, keys["alice"]), allowed, now=NOW)
    assert found == sent
    assert key.name == "alice"
    for kind, data in (
        ("role", pack_order(sent, keys["activator"])),
        ("key", pack_order(sent, keys["stranger"])),
        ("format", pack_order(order(order="push"), keys["alice"])),
        ("format", pack_order(order(base=""), keys["alice"])),
        ("format", pack_order(order(release="7"), keys["alice"])),
        ("format", pack_order(order(nonce="1"), keys["alice"])),
        ("time", pack_order(order(time=NOW - 90_000), keys["alice"])),
        ("format", b"\x80"),
        ("size", b"x" * 5000),
        ("format", pack(manifest(), TEXTS, keys["alice"])),
        ("signature", _signed_as_a_bundle(sent, keys["alice"])),
    ):
        with pytest.raises(BadBundle) as caught:
            unpack_order(data, allowed, now=NOW)
        assert caught.value.kind == kind


def _signed_as_a_bundle(sent, key):
    inner = bundle._canonical(sent._asdict())
    signature = key.sign(b"evergreen bundle\0" + inner)
    return msgpack.packb({"manifest": inner, "key": key.public.id, "signature": signature})

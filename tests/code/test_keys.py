"""Keys: pairs, their files' modes, the node's list, roles; what is refused, in a sentence that helps."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from runtime.code.keys import (
    ROLES,
    KeyProblem,
    allowed_keys,
    development_key,
    load_private,
    make_pair,
    parse_line,
)

pytestmark = pytest.mark.plain


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_a_pair_signs_and_its_public_half_verifies(tmp_path):
    made = make_pair(tmp_path / "keys", "alice")
    assert mode(tmp_path / "keys") == 0o700
    assert mode(tmp_path / "keys" / "alice.key") == 0o600
    loaded = load_private(tmp_path / "keys" / "alice.key")
    assert loaded.public.id == made.public.id
    signature = loaded.sign(b"words")
    listed = parse_line((tmp_path / "keys" / "alice.pub").read_text())
    assert listed == made.public
    assert listed.verify(signature, b"words")
    assert not listed.verify(signature, b"other words")
    assert not make_pair(tmp_path, "bob").public.verify(signature, b"words")
    assert repr(made) == f"<private key alice {made.public.id}>"


def test_a_pair_is_never_overwritten(tmp_path):
    before = make_pair(tmp_path, "alice").public
    with pytest.raises(KeyProblem, match="is there already"):
        make_pair(tmp_path, "alice")
    assert load_private(tmp_path / "alice.key").public.id == before.id


@pytest.mark.parametrize("name", ["", "../up", "a/b", ".hidden", "a b", "x" * 65, "new\nline"])
def test_odd_names_are_refused(tmp_path, name):
    with pytest.raises(KeyProblem, match="is no name for a key"):
        make_pair(tmp_path, name)
    assert list(tmp_path.iterdir()) == []


def test_unknown_roles_are_refused(tmp_path):
    for roles in ([], ["activate", "fly"]):
        with pytest.raises(KeyProblem, match="roles are some of stage, activate, rollback"):
            make_pair(tmp_path, "alice", roles)


@pytest.mark.parametrize("bits", [0o640, 0o604, 0o660, 0o622])
def test_a_private_key_that_others_may_touch_is_refused(tmp_path, bits):
    make_pair(tmp_path, "alice")
    (tmp_path / "alice.key").chmod(bits)
    with pytest.raises(KeyProblem, match=rf"may be read by others \(mode {bits:03o}\).*chmod 600"):
        load_private(tmp_path / "alice.key")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_private_key_of_somebody_else_is_refused(tmp_path):
    make_pair(tmp_path, "alice")
    os.chown(tmp_path / "alice.key", 65534, 65534)
    with pytest.raises(KeyProblem, match=r"belongs to another user \(uid 65534\)"):
        load_private(tmp_path / "alice.key")


def test_files_that_hold_no_such_key_are_named(tmp_path):
    path = tmp_path / "x.key"
    with pytest.raises(KeyProblem, match="cannot be read"):
        load_private(path)
    other = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    make_pair(tmp_path, "alice")
    for content, words in (
        (b"", "holds no private key"),
        ((tmp_path / "alice.pub").read_bytes(), "holds no private key"),
        (other, "is not an Ed25519 key"),
    ):
        path.write_bytes(content)
        path.chmod(0o600)
        with pytest.raises(KeyProblem, match=words):
            load_private(path)


def test_the_development_key_is_made_once_and_kept(tmp_path):
    first = development_key(tmp_path / "keys")
    assert development_key(tmp_path / "keys").public == first.public
    assert mode(tmp_path / "keys" / "development.key") == 0o600
    assert allowed_keys(None, tmp_path / "keys") == {first.public.id: first.public}


def test_a_crash_while_it_was_made_leaves_no_half_key(tmp_path):
    directory = tmp_path / "keys"
    made = make_pair(directory, "development")
    (directory / "development.key").unlink()  # the public half is written first
    again = development_key(directory)
    assert again.public.id != made.public.id
    assert parse_line((directory / "development.pub").read_text()) == again.public


def test_a_development_key_that_others_could_read_is_not_used(tmp_path):
    development_key(tmp_path)
    (tmp_path / "development.key").chmod(0o644)
    with pytest.raises(KeyProblem, match="may be read by others"):
        allowed_keys(None, tmp_path)


def test_the_nodes_list_is_a_file_or_a_directory(tmp_path):
    alice = make_pair(tmp_path / "alice", "alice").public
    bob = make_pair(tmp_path / "bob", "bob", ["stage"]).public
    wanted = {alice.id: alice, bob.id: bob}
    file = tmp_path / "allowed"
    file.write_text(f"# who may push\n\n{alice.line()}\n  {bob.line()}\n")
    assert allowed_keys(file, tmp_path) == wanted
    directory = tmp_path / "allowed.d"
    directory.mkdir()
    for key in (alice, bob):
        (directory / f"{key.name}.pub").write_text(key.line() + "\n")
    (directory / "README").write_text("not a key")
    assert allowed_keys(directory, tmp_path) == wanted
    assert wanted[bob.id].roles == {"stage"}
    # With a list, nobody else is believed: no development key appears.
    assert not list(tmp_path.glob("development*"))


def test_a_key_without_roles_has_all(tmp_path):
    line = " ".join(make_pair(tmp_path, "alice").public.line().split()[:3])
    assert parse_line(line).roles == set(ROLES)


def test_what_is_wrong_with_a_list_is_said_with_file_and_line(tmp_path):
    line = make_pair(tmp_path, "alice").public.line()
    file = tmp_path / "allowed"
    kind, key, name, roles = line.split()
    for content, words in (
        ("", "holds no key"),
        (f"{line}\n{line}\n", "allowed:2: the key alice is there twice"),
        (f"\nrsa {key} {name} {roles}", "allowed:2: wanted 'ed25519 BASE64 NAME"),
        (f"{kind} {key[:-4]} {name} {roles}", "allowed:1: wanted"),
        (f"{kind} !!!! {name} {roles}", "allowed:1: wanted"),
        (f"{kind} {key} ../x {roles}", "allowed:1: wanted"),
        (f"{kind} {key} {name} fly", "allowed:1: wanted"),
        (f"{kind} {key} {name} {roles} more", "allowed:1: wanted"),
        (b"\xff\xfe", "cannot be read"),
    ):
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
        with pytest.raises(KeyProblem, match=words):
            allowed_keys(file, tmp_path)
    with pytest.raises(KeyProblem, match="cannot be read"):
        allowed_keys(tmp_path / "nothing", tmp_path)


def test_a_list_that_others_may_write_is_refused(tmp_path):
    file = tmp_path / "allowed"
    file.write_text(make_pair(tmp_path, "alice").public.line())
    file.chmod(0o666)
    with pytest.raises(KeyProblem, match="anybody could add a key"):
        allowed_keys(file, Path())


def test_a_folder_of_keys_that_others_may_write_is_refused(tmp_path):
    """Whoever may put a file into it adds a key, whatever the files' own modes are."""
    folder = tmp_path / "keys"
    make_pair(folder, "alice")
    folder.chmod(0o770)
    with pytest.raises(KeyProblem, match="may be written by others"):
        allowed_keys(folder, tmp_path)
    folder.chmod(0o750)
    assert len(allowed_keys(folder, tmp_path)) == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_list_of_somebody_else_is_refused(tmp_path):
    key = make_pair(tmp_path / "pair", "alice")
    file = tmp_path / "allowed"
    file.write_text(key.public.line())
    os.chown(file, 12345, -1)
    with pytest.raises(KeyProblem, match="belongs to another user"):
        allowed_keys(file, tmp_path)

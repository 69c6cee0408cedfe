"""Who gets no shell from another machine: certificates that are foreign, expired, not yet good, missing; and a false node."""

from __future__ import annotations

import datetime
import socket
import ssl

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.admin.test_shell_socket import by_tls, do, free_port
from tests.net.conftest import authority
from tests.support.node import Node

__all__ = ["authority"]

pytestmark = [pytest.mark.plain, pytest.mark.slow]
DAY = datetime.timedelta(days=1)


def signed(folder, file, name, *, by=None, issuer=None, begins=-DAY, ends=DAY):
    """Write a certificate and its key; `by`: the signer's key, none: its own. Returns their paths."""
    now = datetime.datetime.now(datetime.UTC)
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer or subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + begins)
        .not_valid_after(now + ends)
        .sign(by or key, hashes.SHA256())
    )
    pem, private = folder / f"{file}.pem", folder / f"{file}.key"
    pem.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    kind = serialization.PrivateFormat.PKCS8
    private.write_bytes(key.private_bytes(serialization.Encoding.PEM, kind, serialization.NoEncryption()))
    return str(pem), str(private)


@pytest.fixture(scope="module")
def node(tmp_path_factory, authority):
    port = free_port()
    settings = f"admin.port={port}", f"admin.clients={authority.ca}", "admin.remote_shell=true"
    with Node(tmp_path_factory.mktemp("tls") / "var", *settings) as made:
        made.admin_port = port
        yield made


def test_certificates_that_are_not_good(node, authority, tmp_path):
    theirs = {"by": authority.key, "issuer": authority.certificate.subject}
    good = signed(tmp_path, "good", "anna", **theirs)
    assert do(by_tls(node, node.admin_port, *good), "-c", "1 + 1").stdout == "2\n"
    foreign = ec.generate_private_key(ec.SECP256R1())
    bad = {
        "expired": signed(tmp_path, "expired", "anna", begins=-2 * DAY, ends=-DAY, **theirs),
        "not yet good": signed(tmp_path, "early", "anna", begins=DAY, ends=2 * DAY, **theirs),
        "its own signer": signed(tmp_path, "own", "anna"),
        "of another authority of that name": signed(
            tmp_path, "foreign", "anna", by=foreign, issuer=authority.certificate.subject
        ),
        "signed by one that may not": signed(
            tmp_path, "below", "anna",
            by=serialization.load_pem_private_key((tmp_path / "good.key").read_bytes(), None),
            issuer=x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "anna")]),
        ),
        "a key that does not fit": (good[0], signed(tmp_path, "other", "anna")[1]),
    }  # fmt: skip
    for name, pair in bad.items():
        done = do(by_tls(node, node.admin_port, *pair), "-c", "print('in')")
        assert (done.returncode, done.stdout) == (1, ""), name
        assert done.stderr.startswith("evergreen: "), name
        assert done.stderr.count("\n") == 1, (name, done.stderr)
    assert "print('in')" not in (node.directory / "shell.log").read_text()
    assert do(by_tls(node, node.admin_port, *good), "-c", "1 + 1").stdout == "2\n"


def test_a_node_that_is_another_gets_nothing(node, authority, tmp_path):
    """Who attaches makes sure of the node, too: by its authority and its name."""
    good = signed(tmp_path, "good", "anna", by=authority.key, issuer=authority.certificate.subject)
    command = by_tls(node, node.admin_port, *good)
    wrong = [*command]
    wrong[wrong.index("--authority") + 1] = authority.ca
    assert do(wrong, "-c", "1").returncode == 1
    wrong = [*command]
    wrong[wrong.index("--server-name") + 1] = "bank.example"
    done = do(wrong, "-c", "1")
    assert (done.returncode, done.stdout) == (1, "")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("how", ["no certificate", "no TLS", "old TLS"])
def test_without_a_certificate_not_even_a_greeting(node, how):
    with socket.create_connection(("127.0.0.1", node.admin_port), 10) as plain:
        said = b""
        try:
            if how == "no TLS":
                plain.sendall(b"\x00\x00\x00\x02{}" * 10)
                said = plain.recv(1000)
            else:
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
                context.load_verify_locations(str(node.ca))
                if how == "old TLS":
                    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_2
                with context.wrap_socket(plain, server_hostname="localhost") as sock:
                    said = sock.recv(1000)
        except OSError:
            pass
    assert b"hello" not in said
    assert b"evergreen" not in said

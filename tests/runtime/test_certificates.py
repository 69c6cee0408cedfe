"""The node's certificates over real TLS, and one error sentence per thing that can be wrong."""

import datetime
import socket
import ssl
import stat
import threading

import pytest

from runtime import certificates
from runtime.certificates import CertificateError

pytestmark = pytest.mark.plain
DAY = datetime.timedelta(days=1)


def handshake(made, ca, name):
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(made.certificate, made.key)
    client = ssl.create_default_context(cafile=str(ca))
    left, right = socket.socketpair()
    with left, right:
        thread = threading.Thread(target=lambda: server.wrap_socket(left, server_side=True).close())
        thread.start()
        try:
            with client.wrap_socket(right, server_hostname=name) as tls:
                return tls.version()
        finally:
            thread.join(5)


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1", "::1"])
def test_development_certificate_is_trusted_by_a_strict_client_with_its_authority(tmp_path, name):
    made = certificates.load(tmp_path / "certificates")
    assert handshake(made, made.ca, name) in ("TLSv1.2", "TLSv1.3")


def test_private_keys_are_for_the_owner_alone(tmp_path):
    made = certificates.load(tmp_path / "certificates")
    assert stat.S_IMODE(made.key.stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "certificates").stat().st_mode) == 0o700
    assert sorted(p.name for p in (tmp_path / "certificates").iterdir()) == [
        "ca.key",
        "ca.pem",
        "server.key",
        "server.pem",
    ]


def test_second_start_keeps_the_certificates(tmp_path):
    first = certificates.load(tmp_path)
    before = first.certificate.read_bytes(), first.ca.read_bytes()
    second = certificates.load(tmp_path)
    assert (second.certificate.read_bytes(), second.ca.read_bytes()) == before


def test_server_certificate_is_renewed_before_it_ends_and_the_authority_stays(tmp_path):
    first = certificates.load(tmp_path)
    ca = first.ca.read_bytes()
    later = datetime.datetime.now(datetime.UTC) + 380 * DAY
    second = certificates.development(tmp_path, later)
    assert second.not_after > first.not_after
    assert second.ca.read_bytes() == ca


@pytest.mark.parametrize("damaged", ["server.pem", "server.key", "ca.pem", "ca.key"])
def test_damaged_development_files_are_made_anew(tmp_path, damaged):
    certificates.load(tmp_path)
    (tmp_path / damaged).write_text("nothing")
    made = certificates.load(tmp_path)
    handshake(made, made.ca, "localhost")


def own(tmp_path):
    made = certificates.development(tmp_path / "own")
    return made.certificate, made.key


def refused(tmp_path, certificate, key, now=None):
    with pytest.raises(CertificateError) as caught:
        certificates.load(tmp_path / "unused", str(certificate), str(key), now)
    assert not (tmp_path / "unused").exists()
    return str(caught.value)


def test_the_operators_own_certificate_is_used_where_it_lies(tmp_path):
    certificate, key = own(tmp_path)
    made = certificates.load(tmp_path / "unused", str(certificate), str(key))
    assert (made.certificate, made.key, made.ca, made.is_development) == (certificate, key, None, False)


def test_key_of_another_certificate_is_named(tmp_path):
    certificate, _ = own(tmp_path)
    _, other = own(tmp_path / "other")
    message = refused(tmp_path, certificate, other)
    assert str(other) in message
    assert "is not the key of the certificate" in message


def test_expired_certificate_is_named_with_its_date(tmp_path):
    certificate, key = own(tmp_path)
    later = datetime.datetime.now(datetime.UTC) + 500 * DAY
    assert f"{certificate}: expired on " in refused(tmp_path, certificate, key, later)


def test_certificate_of_the_future_asks_for_the_clock(tmp_path):
    certificate, key = own(tmp_path)
    earlier = datetime.datetime.now(datetime.UTC) - 5 * DAY
    assert "is not valid before" in refused(tmp_path, certificate, key, earlier)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "cannot be read (No such file or directory)"),
        (b"", "holds no PEM certificate"),
        (b"\xff\x00noise", "holds no PEM certificate"),
        ("key", "holds a private key"),
    ],
)
def test_certificate_file_that_holds_something_else_is_named(tmp_path, content, words):
    _, key = own(tmp_path)
    path = tmp_path / "bad.pem"
    if content == "key":
        path.write_bytes(key.read_bytes())
    elif content is not None:
        path.write_bytes(content)
    message = refused(tmp_path, path, key)
    assert message.startswith(f"{path}: ")
    assert words in message


def test_key_file_that_holds_a_certificate_is_named(tmp_path):
    certificate, _ = own(tmp_path)
    assert refused(tmp_path, certificate, certificate) == f"{certificate}: holds a certificate"


def test_one_of_the_two_alone_is_refused(tmp_path):
    certificate, key = own(tmp_path)
    assert "[node] tls_key must be set too" in refused(tmp_path, certificate, "")
    assert "[node] tls_certificate must be set too" in refused(tmp_path, "", key)

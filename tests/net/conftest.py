"""Certificates of an authority made for the run; and no test may leave a socket behind."""

from __future__ import annotations

import datetime
import ipaddress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from gevent import ssl

from runtime.net import ClientTLS, TLSConfig
from tests.net.helpers import sockets


@dataclass
class Authority:
    """Signs certificates into `folder`."""

    folder: Path
    key: Any
    certificate: Any

    @property
    def ca(self) -> str:
        return str(self.folder / "ca.pem")

    def issue(self, *names: str, file: str = "server", folder: Path | None = None) -> tuple[str, str]:
        """Write `file`.pem and `file`.key; return their paths."""
        key = ec.generate_private_key(ec.SECP256R1())
        alternatives: list[Any] = [x509.DNSName(name) for name in names]
        alternatives.append(x509.IPAddress(ipaddress.ip_address("127.0.0.1")))
        certificate = _sign(
            names[0], key, self.key, self.certificate.subject, x509.SubjectAlternativeName(alternatives)
        )
        place = folder or self.folder
        pem, private = place / f"{file}.pem", place / f"{file}.key"
        pem.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        private.write_bytes(_private(key))
        return str(pem), str(private)

    def server(self, **options: Any) -> TLSConfig:
        pem, key = str(self.folder / "server.pem"), str(self.folder / "server.key")
        return TLSConfig(pem, key, **options)

    def client(self, **options: Any) -> ClientTLS:
        return ClientTLS(ca_file=self.ca, server_name="localhost", **options)

    def context(self, alpn: tuple[str, ...] = ()) -> Any:
        """A gevent context for bare clients."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(self.ca)
        if alpn:
            context.set_alpn_protocols(list(alpn))
        return context


def _private(key: Any) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _sign(name: str, key: Any, by: Any, issuer: Any, extra: Any, is_ca: bool = False) -> Any:
    now = datetime.datetime.now(datetime.UTC)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer or subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=2))
        .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
    )
    if extra is not None:
        builder = builder.add_extension(extra, critical=False)
    return builder.sign(by, hashes.SHA256())


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    folder = tmp_path_factory.mktemp("tls")
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = _sign("Test CA", key, key, None, None, is_ca=True)
    (folder / "ca.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    made = Authority(folder, key, certificate)
    made.issue("localhost")
    return made


@pytest.fixture(autouse=True)
def _no_socket_left() -> Any:
    before = sockets()
    yield
    assert sockets() <= before, "sockets left behind"

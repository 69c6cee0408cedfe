"""The node's TLS certificate: made for development by itself, or the operator's own, checked at load.

Development: a small authority (`ca.pem`, kept ten years) signs a server certificate for `localhost`,
`127.0.0.1` and `::1`; clients on this machine trust `ca.pem`. Keys are EC P-256, files with a private key
have mode 0600, and everything is written to a temporary name first, so that a crash leaves no half file.
The server certificate is made anew when it has less than 30 days left.
"""

from __future__ import annotations

import datetime
import ipaddress
import os
import ssl
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

__all__ = ["CertificateError", "Certificates", "check", "development", "load"]

_CA_DAYS = 3650
_SERVER_DAYS = 397  # the longest that clients of today accept
_RENEW_DAYS = 30
_NAMES = ("localhost",)
_ADDRESSES = ("127.0.0.1", "::1")

# Types


class CertificateError(Exception):
    """A certificate or key that cannot be used: one sentence naming the file and what is wrong."""


class Certificates(NamedTuple):
    """Paths of what a listener needs, and what is known about it. `ca` is None for the operator's own."""

    certificate: Path
    key: Path
    ca: Path | None
    not_after: datetime.datetime
    is_development: bool


# API


def load(
    directory: Path,
    certificate: str = "",
    key: str = "",
    now: datetime.datetime | None = None,
) -> Certificates:
    """Return checked certificates: the operator's own where named, else development ones in `directory`.

    Blocks (file system, a few milliseconds of key making at the first start).

    Raises:
        CertificateError: unreadable, malformed, expired, not yet valid, or the key of another certificate.
    """
    if not certificate and not key:
        return development(directory, now)
    if not certificate or not key:
        missing, given = ("tls_key", certificate) if certificate else ("tls_certificate", key)
        raise CertificateError(f"{given} is configured alone: [node] {missing} must be set too")
    return Certificates(Path(certificate), Path(key), None, check(Path(certificate), Path(key), now), False)


def development(directory: Path, now: datetime.datetime | None = None) -> Certificates:
    """Make or reuse an authority and a server certificate for this machine in `directory` (mode 0700)."""
    now = now or datetime.datetime.now(datetime.UTC)
    ca_path, ca_key_path = directory / "ca.pem", directory / "ca.key"
    path, key_path = directory / "server.pem", directory / "server.key"
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        if _is_worn(ca_path, ca_key_path, now):
            _make_authority(ca_path, ca_key_path, now)
            path.unlink(missing_ok=True)
        if _is_worn(path, key_path, now) or not _is_issued_by(path, ca_path):
            _make_server(path, key_path, ca_path, ca_key_path, now)
    except OSError as error:
        raise CertificateError(
            f"{error.filename or directory}: cannot be written ({error.strerror})"
        ) from None
    return Certificates(path, key_path, ca_path, check(path, key_path, now), True)


def check(certificate: Path, key: Path, now: datetime.datetime | None = None) -> datetime.datetime:
    """Return when the certificate ends, or raise CertificateError naming the file and what is wrong."""
    now = now or datetime.datetime.now(datetime.UTC)
    chain = _read_certificates(certificate)
    private = _read_key(key)
    own = chain[0]
    if _public_bytes(own.public_key()) != _public_bytes(private.public_key()):
        raise CertificateError(
            f"{key}: is not the key of the certificate in {certificate} (of {own.subject.rfc4514_string() or 'no name'}); "
            "the server's own certificate must come first in the file"
        )
    for number, one in enumerate(chain, 1):
        which = f"{certificate}: certificate {number} of {len(chain)}" if len(chain) > 1 else str(certificate)
        if one.not_valid_after_utc < now:
            raise CertificateError(f"{which}: expired on {one.not_valid_after_utc:%Y-%m-%d %H:%M} UTC")
        if one.not_valid_before_utc > now:
            raise CertificateError(
                f"{which}: is not valid before {one.not_valid_before_utc:%Y-%m-%d %H:%M} UTC; is this clock right?"
            )
    try:
        # The last word is OpenSSL's: key sizes, signature algorithms, order of the chain.
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key)
    except ssl.SSLError as error:
        raise CertificateError(f"{certificate}: not usable for TLS ({error.reason or error})") from None
    return min(one.not_valid_after_utc for one in chain)


# Internals


def _in(now: datetime.datetime, days: int) -> datetime.datetime:
    return now + datetime.timedelta(days=days)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise CertificateError(f"{path}: cannot be read ({error.strerror})") from None


def _read_certificates(path: Path) -> list[x509.Certificate]:
    data = _read(path)
    try:
        return x509.load_pem_x509_certificates(data)
    except ValueError:
        hint = (
            "a private key" if b"PRIVATE KEY" in data else "no PEM certificate (-----BEGIN CERTIFICATE-----)"
        )
        raise CertificateError(f"{path}: holds {hint}") from None


def _read_key(path: Path) -> ec.EllipticCurvePrivateKey:
    data = _read(path)
    try:
        # Any kind of key has public_key(), all that is used of it here; EC is only the usual one.
        return serialization.load_pem_private_key(data, None)  # type: ignore[return-value]
    except TypeError:
        raise CertificateError(
            f"{path}: the key is encrypted; the node needs it without a passphrase"
        ) from None
    except ValueError:
        hint = "a certificate" if b"CERTIFICATE" in data else "no PEM private key"
        raise CertificateError(f"{path}: holds {hint}") from None


def _public_bytes(key: object) -> bytes:
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return key.public_bytes(serialization.Encoding.DER, form)  # type: ignore[attr-defined, no-any-return]


def _is_worn(path: Path, key_path: Path, now: datetime.datetime) -> bool:
    # Missing, damaged, mismatched, ended or soon to end: a development certificate is then made anew.
    try:
        return check(path, key_path, now) < _in(now, _RENEW_DAYS)
    except CertificateError:
        return True


def _is_issued_by(path: Path, ca_path: Path) -> bool:
    try:
        _read_certificates(path)[0].verify_directly_issued_by(_read_certificates(ca_path)[0])
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _make_authority(path: Path, key_path: Path, now: datetime.datetime) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Evergreen development authority")])
    usage = x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=True,
        crl_sign=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
    built = (
        _builder(name, name, key, now, _CA_DAYS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    _write_pair(path, built, key_path, key)


def _make_server(
    path: Path, key_path: Path, ca_path: Path, ca_key_path: Path, now: datetime.datetime
) -> None:
    authority, authority_key = _read_certificates(ca_path)[0], _read_key(ca_key_path)
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    names: list[x509.GeneralName] = [x509.DNSName(name) for name in _NAMES]
    names += [x509.IPAddress(ipaddress.ip_address(address)) for address in _ADDRESSES]
    built = (
        _builder(subject, authority.subject, key, now, _SERVER_DAYS)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()), critical=False
        )
        .sign(authority_key, hashes.SHA256())
    )
    _write_pair(path, built, key_path, key)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, now: datetime.datetime, days: int
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))  # clocks of clients may be behind
        .not_valid_after(_in(now, days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _write_pair(
    path: Path, certificate: x509.Certificate, key_path: Path, key: ec.EllipticCurvePrivateKey
) -> None:
    # A crash between the two leaves a key whose certificate is not its own: seen as worn, and made anew.
    form = serialization.PrivateFormat.PKCS8
    _write(key_path, key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()), 0o600)
    _write(path, certificate.public_bytes(serialization.Encoding.PEM), 0o644)


def _write(path: Path, data: bytes, mode: int) -> None:
    temporary = path.with_name(path.name + ".new")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)

"""A certificate authority for one test, and a certificate for localhost by it."""

from __future__ import annotations

import datetime
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from twisted.internet.ssl import PrivateCertificate


def _certificate(
    subject: str, key: Any, issuer: str, issuer_key: Any, *, authority: bool
) -> x509.Certificate:
    now = datetime.datetime.now(datetime.UTC)
    names = [x509.DNSName("localhost"), x509.IPAddress(ip_address("127.0.0.1"))]
    name = lambda text: x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])  # noqa: E731
    return (
        x509.CertificateBuilder()
        .subject_name(name(subject))
        .issuer_name(name(issuer))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(issuer_key, hashes.SHA256())
    )


def make_authority(directory: Path) -> tuple[Path, Any]:
    """The authority's file, for SSL_CERT_FILE, and the options of a server that it vouches for."""
    certificate, key = make_pair(directory)
    both = certificate.read_bytes() + key.read_bytes()
    return directory / "authority.pem", PrivateCertificate.loadPEM(both).options()


def make_pair(directory: Path) -> tuple[Path, Path]:
    """The files of a certificate and its key."""
    authority_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    authority = _certificate("test", authority_key, "test", authority_key, authority=True)
    certificate = _certificate("localhost", key, "test", authority_key, authority=False)
    pem = serialization.Encoding.PEM
    private = key.private_bytes(
        pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    for name, content in (
        ("authority", authority.public_bytes(pem)),
        ("certificate", certificate.public_bytes(pem)),
        ("key", private),
    ):
        (directory / f"{name}.pem").write_bytes(content)
    return directory / "certificate.pem", directory / "key.pem"

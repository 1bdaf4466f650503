"""The TLS certificate of this installation, created for this computer's addresses.

Browsers offer WebXR only to HTTPS pages, and a policy server's token must not travel in the clear. A
certificate shipped with a program would have a private key that everybody knows, so each installation signs
its own. The browser asks once whether to trust it; the user compares the fingerprint with the one in the
terminal. A policy server's clients trust exactly the certificate in their access file (`access`).
"""

from __future__ import annotations

import ipaddress
import os
import re
import socket
import ssl
import stat
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from gr1_core.remote.addresses import addresses

FILE = "server.pem"
_LIFETIME = timedelta(days=365)
_RENEW_BEFORE_END = timedelta(days=1)  # so that it does not expire during a session
_CLOCK_TOLERANCE = timedelta(days=1)  # the clock of a headset that was switched off for long may be slow
_NAME = re.compile(r"(?!-)[A-Za-z0-9-]{1,63}(\.[A-Za-z0-9-]{1,63})*")


class CertificateError(ValueError):
    """The certificate cannot be read or written. The text names the file and the remedy."""


@dataclass(frozen=True)
class Certificate:
    """path: PEM file with key and certificate, readable only by its owner. names: host names and addresses
    that it covers.
    fingerprint: SHA-256, as browsers show it. new: created by this call, so browsers will ask about it."""

    path: Path
    names: frozenset[str]
    fingerprint: str
    new: bool = False

    def context(self) -> ssl.SSLContext:
        """TLS settings of a server: TLS 1.2 or newer with this certificate."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(self.path)
        return context


def folder(service: str) -> Path:
    """Folder of a service's certificate, e.g. `teleop`: $XDG_DATA_HOME/gr1/teleop, or
    ~/.local/share/gr1/teleop if the variable is not set."""
    data = os.environ.get("XDG_DATA_HOME", "")
    return (Path(data) if os.path.isabs(data) else Path.home() / ".local" / "share") / "gr1" / service


def names() -> frozenset[str]:
    """All names of this computer: its addresses, its host name, localhost."""
    host = socket.gethostname()
    hosts = {"localhost", host, host if "." in host else f"{host}.local"}
    return frozenset(
        {name.lower() for name in hosts if _NAME.fullmatch(name)} | {"127.0.0.1", "::1"} | set(addresses())
    )


def ensure(where: Path, wanted: Iterable[str] | None = None, now: datetime | None = None) -> Certificate:
    """The installation's certificate in the folder `where`.

    A new one is created if there is none, or if the present one is damaged, ends within a day, does not cover
    one of `wanted` (default: `names()`), or if others could have read its key. Raises CertificateError.
    """
    path, now = where / FILE, now or datetime.now(UTC)
    wanted = names() if wanted is None else frozenset(wanted)
    found = _read(path, now)
    if found and wanted <= found.names:
        return found
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        _write(path, _create(wanted, now))
    except OSError as error:
        text = f"{path}: cannot write the TLS certificate ({error.strerror})"
        raise CertificateError(f"{text}: make the folder writable, or set XDG_DATA_HOME") from error
    made = _read(path, now)
    return Certificate(made.path, made.names, made.fingerprint, new=True)


def _read(path: Path, now: datetime) -> Certificate | None:
    """The certificate in this file, or None if it must not be used any more."""
    try:
        with open(path, "rb") as stream:
            if stat.S_IMODE(os.fstat(stream.fileno()).st_mode) & 0o077:
                return None
            data = stream.read()
        certificate = x509.load_pem_x509_certificate(data)
        key = serialization.load_pem_private_key(data, None)
        if key.public_key() != certificate.public_key():
            return None
        alternative = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except FileNotFoundError:
        return None
    except OSError as error:
        text = f"{path}: cannot read the TLS certificate ({error.strerror})"
        raise CertificateError(f"{text}: move the file away, or set XDG_DATA_HOME") from error
    except (ValueError, TypeError, x509.ExtensionNotFound):
        return None
    if not certificate.not_valid_before_utc <= now < certificate.not_valid_after_utc - _RENEW_BEFORE_END:
        return None
    ips = {str(ip) for ip in alternative.get_values_for_type(x509.IPAddress)}
    fingerprint = certificate.fingerprint(hashes.SHA256()).hex(":").upper()
    return Certificate(path, frozenset(ips | set(alternative.get_values_for_type(x509.DNSName))), fingerprint)


def _create(wanted: Iterable[str], now: datetime) -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "GR-1")])
    usage = dict.fromkeys(
        (
            "content_commitment",
            "key_encipherment",
            "data_encipherment",
            "key_agreement",
            "key_cert_sign",
            "crl_sign",
            "encipher_only",
            "decipher_only",
        ),
        False,
    )
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _CLOCK_TOLERANCE)
        .not_valid_after(now + _LIFETIME)
        .add_extension(
            x509.SubjectAlternativeName([_general_name(name) for name in sorted(wanted)]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.KeyUsage(digital_signature=True, **usage), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return private + certificate.public_bytes(serialization.Encoding.PEM)


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _write(path: Path, data: bytes) -> None:
    """Writes the file atomically and never readable by others: mkstemp creates it with mode 0600."""
    descriptor, partial = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(partial, path)
    except BaseException:
        os.unlink(partial)
        raise

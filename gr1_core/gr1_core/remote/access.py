"""Who may use a policy server: a token, and the certificate by which its clients know it.

Both lie in one file that only its owner can read. The server writes it; a person copies it to the robot's
computer. A client trusts exactly this certificate, whatever name or address the server has.
"""

from __future__ import annotations

import json
import os
import secrets
import ssl
import stat
from dataclasses import dataclass
from pathlib import Path

from gr1_core import atomic_write
from gr1_core.remote import certificate as certificates

FILE = "access.json"
_TOKEN_BYTES = 32
_KEYS = {"token", "certificate"}


class AccessError(ValueError):
    """An access file that cannot be used. The text names the file and the remedy."""


@dataclass(frozen=True)
class Access:
    """certificate: PEM, without its key; empty: one that this computer's authorities have signed."""

    token: str
    certificate: str = ""

    def client_context(self) -> ssl.SSLContext:
        """TLS settings of a client."""
        if not self.certificate:
            return ssl.create_default_context()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        # Only the holder of this certificate's key is accepted, so its name adds nothing; with a tunnel or a
        # new address it would be wrong.
        context.check_hostname = False
        context.load_verify_locations(cadata=self.certificate)
        return context


def default_file() -> Path:
    """$XDG_DATA_HOME/gr1/serve/access.json, or below ~/.local/share."""
    return certificates.folder("serve") / FILE


def load(path: Path) -> Access:
    """Reads an access file. Raises AccessError, also where other users can read it."""
    remedy = "copy the access file that `gr1 serve` names from the server's computer"
    try:
        with path.open("rb") as file:
            if stat.S_IMODE(os.fstat(file.fileno()).st_mode) & 0o077:
                raise AccessError(f"{path} can be read by other users: run `chmod 600 {path}`")
            raw = json.load(file)
    except FileNotFoundError:
        raise AccessError(f"there is no access file {path}: {remedy}") from None
    except OSError as error:
        raise AccessError(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise AccessError(f"{path} is no access file ({error}): {remedy}") from error
    if not isinstance(raw, dict) or set(raw) != _KEYS or not all(isinstance(raw[key], str) for key in _KEYS):
        raise AccessError(f"{path} is no access file (expected a token and a certificate): {remedy}")
    access = Access(**raw)
    if not access.token.isascii() or not access.token.isprintable() or " " in access.token:
        raise AccessError(f"{path} holds no usable token: {remedy}")
    try:
        access.client_context()
    except (ssl.SSLError, ValueError) as error:
        raise AccessError(f"{path} holds no usable certificate ({error}): {remedy}") from error
    return access


def ensure(folder: Path, renew: bool = False) -> tuple[Access, certificates.Certificate, bool]:
    """The server's access file in this folder, made if there is none -> access, certificate, whether the file
    is new or has changed.

    renew: with a new token. Raises CertificateError or AccessError.
    """
    certificate = certificates.ensure(folder)
    pem = ssl.DER_cert_to_PEM_cert(_der(certificate.path))
    path = folder / FILE
    old = load(path) if path.exists() and not renew else None
    access = Access(old.token if old else secrets.token_urlsafe(_TOKEN_BYTES), pem)
    if access == old:
        return access, certificate, False
    try:
        atomic_write.write_text(path, json.dumps(vars(access), indent=1) + "\n", mode=0o600)
    except OSError as error:
        raise AccessError(
            f"{path} cannot be written ({error.strerror}): make the folder writable, or set XDG_DATA_HOME"
        ) from error
    return access, certificate, True


def _der(path: Path) -> bytes:
    """The certificate in a PEM file that also holds its key."""
    text = path.read_text()
    begin = text.index("-----BEGIN CERTIFICATE-----")
    return ssl.PEM_cert_to_DER_cert(text[begin:])

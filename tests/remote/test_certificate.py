"""The certificate of an installation: private, valid for this computer's names, renewed in time."""

import os
import socket
import ssl
import stat
import threading
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509

from gr1_core.remote import addresses, certificate
from gr1_core.remote.certificate import CertificateError, ensure

NAMES = {"localhost", "127.0.0.1", "::1", "192.168.1.20", "robot.local"}


def loaded(made: certificate.Certificate) -> x509.Certificate:
    return x509.load_pem_x509_certificate(made.path.read_bytes())


def test_only_its_owner_can_read_the_key(tmp_path):
    old = os.umask(0)
    try:
        made = ensure(tmp_path / "gr1" / "teleop", NAMES)
    finally:
        os.umask(old)
    assert stat.S_IMODE(made.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(made.path.parent.stat().st_mode) == 0o700
    assert [path.name for path in made.path.parent.iterdir()] == ["server.pem"]


def test_it_lies_in_the_users_data_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert ensure(certificate.folder("teleop")).path == tmp_path / "gr1" / "teleop" / "server.pem"
    monkeypatch.setenv("XDG_DATA_HOME", "")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert certificate.folder("teleop") == tmp_path / ".local" / "share" / "gr1" / "teleop"


def test_two_installations_have_different_keys(tmp_path):
    first, second = ensure(tmp_path / "a", NAMES), ensure(tmp_path / "b", NAMES)
    assert first.fingerprint != second.fingerprint
    assert loaded(first).public_key() != loaded(second).public_key()


def test_it_is_good_for_a_year_for_each_name_and_for_nothing_but_a_server(tmp_path):
    now = datetime.now(UTC)
    made = ensure(tmp_path, NAMES, now)
    found = loaded(made)
    assert made.names == NAMES
    assert timedelta(days=364) < found.not_valid_after_utc - now <= timedelta(days=365)
    assert found.not_valid_before_utc < now - timedelta(hours=12), "a headset's clock may be behind"
    assert found.public_key().curve.name == "secp256r1"
    assert not found.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    usage = found.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert [use.dotted_string for use in usage] == ["1.3.6.1.5.5.7.3.1"]


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1", "192.168.1.20", "robot.local"])
def test_a_browser_that_trusts_it_accepts_each_name(tmp_path, name):
    made = ensure(tmp_path, NAMES)
    ours, theirs = socket.socketpair()
    answered = []

    def serve():
        with made.context().wrap_socket(ours, server_side=True) as tls:
            answered.append(tls.version())

    thread = threading.Thread(target=serve)
    thread.start()
    with ssl.create_default_context(cafile=made.path).wrap_socket(theirs, server_hostname=name) as tls:
        assert tls.getpeercert()["subject"] == ((("commonName", "GR-1"),),)
    thread.join(5)
    assert answered == ["TLSv1.3"]


def test_it_is_kept_as_long_as_it_serves(tmp_path):
    first = ensure(tmp_path, NAMES)
    again = ensure(tmp_path, NAMES - {"192.168.1.20"})
    assert first.new and not again.new
    assert again.fingerprint == first.fingerprint, "a browser that has accepted it is not asked again"


def wider(path):
    path.chmod(0o644)


def cut(path):
    path.write_bytes(path.read_bytes()[:200])


def of_another_key(path):
    other = ensure(path.parent / "other", NAMES).path.read_text()
    path.write_text(
        path.read_text().split("-----BEGIN CERTIFICATE")[0] + other[other.index("-----BEGIN CERTIFICATE") :]
    )


@pytest.mark.parametrize(
    "harm",
    [
        wider,
        cut,
        of_another_key,
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"\xff\x00"),
    ],
)
def test_one_that_others_could_read_or_that_is_damaged_is_made_anew(tmp_path, harm):
    first = ensure(tmp_path, NAMES)
    harm(first.path)
    again = ensure(tmp_path, NAMES)
    assert again.new and again.fingerprint != first.fingerprint
    assert stat.S_IMODE(again.path.stat().st_mode) == 0o600
    again.context()


def test_a_new_address_and_the_end_of_the_year_make_it_anew(tmp_path):
    first = ensure(tmp_path, NAMES)
    moved = ensure(tmp_path, NAMES | {"10.1.2.3"})
    assert moved.new and "10.1.2.3" in moved.names and moved.fingerprint != first.fingerprint
    assert not ensure(tmp_path, NAMES, datetime.now(UTC) + timedelta(days=363)).new
    assert ensure(tmp_path, NAMES, datetime.now(UTC) + timedelta(days=364, hours=12)).new, (
        "not in the middle of a session"
    )


def test_a_folder_that_cannot_be_written_is_named_with_the_remedy(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(
        CertificateError, match="file/server.pem: cannot (read|write) the TLS certificate.*XDG_DATA_HOME"
    ):
        ensure(tmp_path / "file", NAMES)


def test_this_computer_is_known_by_its_addresses_and_its_name(monkeypatch):
    monkeypatch.setattr(socket, "gethostname", lambda: "Robot")
    assert {"localhost", "127.0.0.1", "::1", "robot", "robot.local"} <= certificate.names()
    assert set(addresses.addresses()) <= certificate.names()
    assert not any(address.startswith(("127.", "fe80", "::1")) for address in addresses.addresses())


@pytest.mark.parametrize("host", ["", "röbot", "under_score", "-dash", "x" * 80])
def test_a_host_name_that_is_none_is_left_out(tmp_path, monkeypatch, host):
    monkeypatch.setattr(socket, "gethostname", lambda: host)
    assert host not in ensure(tmp_path).names

"""This computer's network addresses, in the form in which a user types them on a headset."""

from __future__ import annotations

import contextlib
import fcntl
import ipaddress
import socket
import struct
from pathlib import Path

_SIOCGIFADDR = 0x8915
_IF_INET6 = Path("/proc/net/if_inet6")
_GLOBAL_SCOPE, _TEMPORARY = 0x00, 0x01
_EXTERNAL_ADDRESS = "192.0.2.1"  # reserved for documentation (RFC 5737); no packet is sent to it


def addresses() -> list[str]:
    """IPv4 and IPv6 addresses of all interfaces; the address that other computers reach comes first.

    Left out: loopback, link-local addresses (browsers cannot open them) and temporary IPv6 addresses (they
    change every day, and the certificate would have to change with them).
    """
    found = [*_routed(), *_ipv4(), *_ipv6()]
    return list(dict.fromkeys(text for text in found if not ipaddress.ip_address(text).is_loopback))


def _routed() -> list[str]:
    """The source address of packets to another network."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe, contextlib.suppress(OSError):
        probe.connect((_EXTERNAL_ADDRESS, 9))
        return [probe.getsockname()[0]]
    return []


def _ipv4() -> list[str]:
    found = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        for _, name in socket.if_nameindex():
            with contextlib.suppress(OSError):  # an interface without an IPv4 address
                answer = fcntl.ioctl(probe, _SIOCGIFADDR, struct.pack("256s", name.encode()[:15]))
                found.append(socket.inet_ntoa(answer[20:24]))
    return found


def _ipv6() -> list[str]:
    try:
        lines = _IF_INET6.read_text().splitlines()
    except OSError:  # a kernel without IPv6
        return []
    found = []
    for raw, _, _, scope, flags, _ in (line.split() for line in lines):
        if int(scope, 16) == _GLOBAL_SCOPE and not int(flags, 16) & _TEMPORARY:
            found.append(str(ipaddress.IPv6Address(bytes.fromhex(raw))))
    return found

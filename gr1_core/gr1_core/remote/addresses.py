"""This computer's network addresses, in the form in which a user types them on a headset."""

from __future__ import annotations

import contextlib
import ipaddress
import re
import socket
import struct
from pathlib import Path
from typing import NamedTuple

_EXTERNAL_ADDRESS = "192.0.2.1"  # reserved for documentation (RFC 5737); no packet is sent to it
_INTERFACES = Path("/sys/class/net")
_LAN, _UNKNOWN, _VPN, _BRIDGE = range(4)
_KINDS = (
    (_VPN, re.compile(r"(tun|tap|wg|tailscale|zt|ppp|utun|ipsec|nordlynx|proton|vpn|cscotun|gpd|ham)\S*")),
    (
        _BRIDGE,
        re.compile(r"(docker|br-|virbr|veth|vmnet|vboxnet|podman|cni|cali|flannel|lxc|lxd|incus|kube)\S*"),
    ),
    (_LAN, re.compile(r"(eth|en|wl|wlan|wlp|usb|bond|team)\w*")),
)
_CARRIER_GRADE = ipaddress.ip_network("100.64.0.0/10")  # of VPNs such as Tailscale, never of a LAN
_NETLINK_ROUTE, _GETADDR, _NEWADDR, _DONE, _ERROR = 0, 22, 20, 3, 2
_REQUEST_DUMP = 0x301
_ADDRESS, _LOCAL, _FLAGS = 1, 2, 8
_TEMPORARY, _GLOBAL_SCOPE = 0x01, 0


class _Found(NamedTuple):
    interface: str
    address: str
    temporary: bool


def addresses() -> list[str]:
    """IPv4 and IPv6 addresses of all interfaces, those that a headset in the same network reaches first.

    Order: IPv4 before IPv6 of the same kind; network cards before VPNs and the bridges of containers and
    virtual machines, whatever the default route is. Among network cards the one with the default route is
    first. Left out: loopback, link-local addresses (browsers cannot open them) and temporary IPv6
    addresses (they change every day, and the certificate would have to change with them).
    """
    routed = _routed()
    usable = [one for one in _all() if not one.temporary and _reachable(one.address)]
    ranked = sorted(
        usable, key=lambda one: (_kind(one), ":" in one.address, one.address != routed)
    )  # stable: else the order of the interfaces
    found = [one.address for one in ranked]
    if routed and _reachable(routed) and routed not in found:
        found.append(routed)
    return list(dict.fromkeys(found))


def _reachable(address: str) -> bool:
    given = ipaddress.ip_address(address)
    return not (given.is_loopback or given.is_link_local or given.is_unspecified)


def _kind(one: _Found) -> int:
    """What kind of network the interface belongs to, the lowest number is the most likely to be the
    headset's.
    """
    if ipaddress.ip_address(one.address) in _CARRIER_GRADE:
        return _VPN
    for kind, pattern in _KINDS:
        if pattern.fullmatch(one.interface):
            return kind
    if (_INTERFACES / one.interface / "device").exists():
        return _LAN
    return _UNKNOWN


def _routed() -> str:
    """The source address of packets to another network; "" without a default route."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe, contextlib.suppress(OSError):
        probe.connect((_EXTERNAL_ADDRESS, 9))
        return probe.getsockname()[0]
    return ""


def _all() -> list[_Found]:
    """Every address of every interface, also an interface's second ones, from the kernel."""
    names = dict(socket.if_nameindex())
    found = []
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_ROUTE) as kernel:
            kernel.settimeout(2.0)
            kernel.sendall(struct.pack("=IHHIIB3x", 20, _GETADDR, _REQUEST_DUMP, 1, 0, socket.AF_UNSPEC))
            while True:
                data = kernel.recv(1 << 16)
                while len(data) >= 16:
                    size, kind, *_ = struct.unpack_from("=IHHII", data)
                    if kind in (_DONE, _ERROR) or size < 16:
                        return found
                    if kind == _NEWADDR:
                        found += _parse(data[16:size], names)
                    data = data[(size + 3) & ~3 :]
    except OSError:
        return found  # a system without netlink: the address of the default route is all that is known


def _parse(body: bytes, names: dict[int, str]) -> list[_Found]:
    family, _, flags, scope, index = struct.unpack_from("=BBBBI", body)
    attributes, body = {}, body[8:]
    while len(body) >= 4:
        size, kind = struct.unpack_from("=HH", body)
        if size < 4:
            break
        attributes[kind] = body[4:size]
        body = body[(size + 3) & ~3 :]
    raw = attributes.get(_LOCAL) or attributes.get(_ADDRESS)
    if _FLAGS in attributes:
        (flags,) = struct.unpack("=I", attributes[_FLAGS])
    if raw is None or family not in (socket.AF_INET, socket.AF_INET6) or scope != _GLOBAL_SCOPE:
        return []
    temporary = family == socket.AF_INET6 and bool(flags & _TEMPORARY)
    return [_Found(names.get(index, ""), socket.inet_ntop(family, raw), temporary)]

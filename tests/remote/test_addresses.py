"""Which addresses an invitation names, and which one first."""

import shlex
import subprocess
import sys

import pytest

from gr1_core.remote.addresses import addresses

_NAMESPACE = ["unshare", "--net", "--map-root-user"]
_LINK = "ip link add {name} type bridge; ip addr add {address} dev {name}; ip link set {name} up\n"
_PRINT = "from gr1_core.remote.addresses import addresses; print(*addresses())"


def in_a_network(tmp_path, links, then=""):
    """addresses() in a network namespace with these (interface, address/prefix) and a command."""
    script = "set -e; ip link set lo up\n" + "".join(
        _LINK.format(name=name, address=address) for name, address in links
    )
    (tmp_path / "run.sh").write_text(f"{script}{then}\nexec {shlex.quote(sys.executable)} -c '{_PRINT}'\n")
    done = subprocess.run([*_NAMESPACE, "bash", str(tmp_path / "run.sh")], capture_output=True, text=True)
    if done.returncode and (
        "unshare" in done.stderr
        or "ip: " in done.stderr
        or "RTNETLINK" in done.stderr
        or "Unknown device" in done.stderr
    ):
        pytest.skip(f"no network namespaces here: {done.stderr.strip()}")
    assert not done.returncode, done.stderr
    return done.stdout.split()


LAB = [
    ("tun0", "10.8.0.6/24"),
    ("docker0", "172.17.0.1/16"),
    ("eth0", "192.168.1.5/24"),
    ("wlan0", "192.168.50.20/24"),
]


@pytest.mark.parametrize(
    ("links", "then", "expected"),
    [
        # A VPN with the default route is not what the headset sees.
        (LAB, "ip route add default dev tun0", ["192.168.1.5", "192.168.50.20", "10.8.0.6", "172.17.0.1"]),
        # Among network cards the default route decides.
        (LAB, "ip route add default dev wlan0", ["192.168.50.20", "192.168.1.5", "10.8.0.6", "172.17.0.1"]),
        (LAB, "", ["192.168.1.5", "192.168.50.20", "10.8.0.6", "172.17.0.1"]),
        # An interface's second address.
        (
            LAB[2:3],
            "ip addr add 10.1.2.3/24 dev eth0; ip addr add 192.168.1.6/24 dev eth0",
            ["192.168.1.5", "10.1.2.3", "192.168.1.6"],
        ),
        # Other VPNs and bridges by their names, Tailscale also by its addresses.
        (
            [
                ("wg0", "10.9.0.2/32"),
                ("ts", "100.101.1.1/32"),
                ("virbr0", "192.168.122.1/24"),
                ("enp3s0", "10.0.0.3/8"),
            ],
            "",
            ["10.0.0.3", "10.9.0.2", "100.101.1.1", "192.168.122.1"],
        ),
        # A bridge of one's own that holds the address of the network card.
        ([("br0", "192.168.3.4/24"), ("veth1", "172.18.0.1/16")], "", ["192.168.3.4", "172.18.0.1"]),
    ],
)
def test_network_cards_come_before_vpns_and_bridges(tmp_path, links, then, expected):
    assert [one for one in in_a_network(tmp_path, links, then) if ":" not in one] == expected


def test_without_a_network_there_is_none(tmp_path):
    assert in_a_network(tmp_path, []) == []


def test_no_address_is_of_this_computer_only():
    assert not any(one.startswith(("127.", "fe80", "::1", "169.254.")) for one in addresses())

"""How a node talks through Fast DDS, the middleware of ROS 2: by shared memory, or by UDP alone. ROS-free.

Fast DDS's shared memory has a lock in each subscriber's port. A subscriber that is killed while it holds the
lock makes all publishers of its topics wait, for 1 to 3 s. A node with small messages that must never wait
uses UDP.
"""

from __future__ import annotations

import os
from collections.abc import MutableMapping
from pathlib import Path

from gr1_common.stop_socket import folder

PROFILES, RANGE, PEERS = (
    "FASTRTPS_DEFAULT_PROFILES_FILE",
    "ROS_AUTOMATIC_DISCOVERY_RANGE",
    "ROS_STATIC_PEERS",
)
OPEN = ("SUBNET", "SYSTEM_DEFAULT")
"""Values of RANGE with which a user opens the graph to other computers."""
_UDP = """<?xml version="1.0" encoding="UTF-8"?>
<dds xmlns="http://www.eprosima.com/XMLSchemas/fastRTPS_Profiles"><profiles>
  <transport_descriptors><transport_descriptor>
    <transport_id>udp</transport_id><type>UDPv4</type>{whitelist}
  </transport_descriptor></transport_descriptors>
  <participant profile_name="gr1_udp" is_default_profile="true"><rtps>
    <userTransports><transport_id>udp</transport_id></userTransports>
    <useBuiltinTransports>false</useBuiltinTransports>
  </rtps></participant>
</profiles></dds>
"""
_LOOPBACK = "<interfaceWhiteList><address>127.0.0.1</address></interfaceWhiteList>"


def udp_environment(into: Path, opened: bool = False) -> dict[str, str]:
    """Variables for a node without shared memory. into: folder for the profile. opened: it reaches other
    computers; False: this one only. Raises OSError.

    The discovery range is left to the profile: with any other rmw_fastrtps adds shared memory by itself.
    """
    profile = into / ("udp.xml" if opened else "udp_loopback.xml")
    partial = profile.with_suffix(f".{os.getpid()}")
    partial.write_text(_UDP.format(whitelist="" if opened else _LOOPBACK))
    partial.replace(profile)
    return {PROFILES: str(profile), RANGE: "SYSTEM_DEFAULT"}


def leave_shared_memory(environment: MutableMapping[str, str] = os.environ) -> None:
    """This process's ROS node will use UDP alone, on this computer only unless the user has opened the graph.

    Call it before rclpy is initialised. A profile or peers that the user has set are left as they are. Raises
    OSError.
    """
    if not (environment.get(PROFILES) or environment.get(PEERS)):
        environment.update(udp_environment(folder(), opened=environment.get(RANGE) in OPEN))

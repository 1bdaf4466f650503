"""Parameters and values of earlier versions and what they are called now. They are refused; the message names
today's. ROS-free.
"""

ROBOTS = {"kortex": "kinova_gen3"}
"""Values of the arm node's parameter `robot`."""

ARM_PARAMETERS = {
    **{
        f"kortex.{name}": f"kinova_gen3.{name}"
        for name in ("address", "port", "user", "password", "timeout_ms", "wrench")
    },
    "kortex.guard_ms": "kinova_gen3.watchdog_ms",
    "kinova_gen3.guard_ms": "kinova_gen3.watchdog_ms",
    "kortex.grip": "kinova_gen3.flange_to_fingertips",
    "kinova_gen3.grip": "kinova_gen3.flange_to_fingertips",
}

CAMERA_PARAMETERS = {"source": "camera_driver"}

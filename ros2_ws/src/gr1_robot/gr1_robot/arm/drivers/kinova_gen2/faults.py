"""Return codes of the vendor's library (SDK 5.2, its two headers) as text, and what each means for the
driver. ROS-free.
"""

from __future__ import annotations

OK = 1
NOT_LOADED = 2002

_RETRY = "the driver retries; if it persists, check cable and power"
_CABLE = (
    "check that the arm is switched on and plugged in, and that the user may use it (udev rule in "
    "docs/how-to/connect_kinova_gen2.md)"
)
_INSTALL = "the SDK's installation is incomplete: install libusb-1.0 and the SDK again"
_OTHER = "another program holds the arm: end it (Development Center, kinova-ros, a second arm node)"
_BUG = "please report this with the log"

TEXTS = {
    666: ("unknown error", _RETRY),
    1001: ("the USB library cannot be loaded", _INSTALL),
    1002: ("the USB library has no function to open a device", _INSTALL),
    1003: ("the USB library has no function to write", _INSTALL),
    1004: ("the USB library has no function to read", _INSTALL),
    1005: ("the USB library has no function to read numbers", _INSTALL),
    1006: ("the USB library has no function to free it", _INSTALL),
    1007: ("the connection between computer and arm is broken", _CABLE),
    1008: ("the USB interface cannot be claimed", _OTHER),
    1009: ("the device is of an unknown kind", _CABLE),
    1010: ("the communication is not initialised", _CABLE),
    1011: ("USB finds no device", _CABLE),
    1012: ("USB is busy", _OTHER),
    1013: ("this USB library does not support the call", _INSTALL),
    1014: ("a packet could not be sent", _RETRY),
    1015: ("no arm found", _CABLE),
    1016: ("the call was not completed", _RETRY),
    1017: ("the connection's handle is not valid", _CABLE),
    1018: ("an earlier call is still running", _RETRY),
    1019: ("not enough memory", "end other programs"),
    1020: ("the communication timed out", _RETRY),
    1021: ("the call is not available on this connection", "check kinova_gen2.connection: usb or ethernet"),
    1022: ("the arm does not answer", _RETRY),
    2001: ("the library cannot be initialised", _INSTALL),
    2002: ("the communication library cannot be loaded", ""),
    2003: ("the arm refused the first packet (NACK)", _RETRY),
    2004: ("the communication failed", _RETRY),
    2005: ("the arm refused the command (NACK)", _RETRY),
    2006: ("the communication library lacks its start function", _INSTALL),
    2007: ("the communication library lacks its close function", _INSTALL),
    2008: ("the communication library lacks its device count", _INSTALL),
    2009: ("the communication library lacks its send function", _INSTALL),
    2010: ("the communication library lacks its device selection", _INSTALL),
    2011: ("the communication library lacks its device list", _INSTALL),
    2012: (
        "the system semaphore cannot be created",
        "end other programs that use the arm; if it persists, restart the computer",
    ),
    2013: ("the communication library lacks its device scan", _INSTALL),
    2014: ("the communication library cannot say which device is active", _INSTALL),
    2015: ("the communication library lacks its RS-485 functions", _INSTALL),
    2100: ("a parameter is not valid", _BUG),
    2101: ("the library is not initialised", _CABLE),
    2102: ("the communication library lacks its data structures", _INSTALL),
    9999: ("the arm refused the command (NACK)", _RETRY),
}
"""Code -> what it means and what to do."""

CONNECTION_LOST = frozenset((1007, 1009, 1010, 1011, 1015, 1017, 2101))
"""Codes after which a new connection is needed; any other may be temporary."""


class SdkError(RuntimeError):
    """A call of the vendor's library that did not return 1."""

    def __init__(self, function: str, code: int):
        meaning, remedy = TEXTS.get(code, ("a code that the SDK's headers do not list", _BUG))
        super().__init__(f"{function}: error {code}, {meaning}" + (f": {remedy}" if remedy else ""))
        self.function, self.code = function, code

    @property
    def connection_lost(self) -> bool:
        """Whether a new connection is needed."""
        return self.code in CONNECTION_LOST

"""Scheduling priorities of threads. ROS-free."""

from __future__ import annotations

import os
import threading

_REALTIME_PRIORITY = 20
_NICE_URGENT, _NICE_BACKGROUND = -10, 10


def raise_scheduling_priority() -> str:
    """Gives the calling thread, and threads it starts later, real-time scheduling, else a better nice value,
    else nothing.

    Returns "realtime", "nice -10" or "normal".
    """
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(_REALTIME_PRIORITY))
        return "realtime"
    except (AttributeError, OSError):
        pass  # not Linux, or neither root nor an rtprio limit
    try:
        os.setpriority(os.PRIO_PROCESS, 0, _NICE_URGENT)
        return f"nice {_NICE_URGENT}"
    except OSError:
        return "normal"


def lower_scheduling_priority() -> None:
    """Makes the calling thread, and threads it starts later, yield to the nodes: a monitor must not cost a
    control period.
    """
    os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE_BACKGROUND)

"""The faults of a Gen3 as text. ROS-free.

The names are those of the vendor's enumerations, whose values are the bits of the fault banks
(Base.SafetyIdentifier, ActuatorConfig.SafetyIdentifierBankA, InterconnectConfig.SafetyIdentifier).
"""

from __future__ import annotations

_READY = "ARMSTATE_SERVOING_READY"
_EXECUTING = "ARMSTATE_SERVOING_MANUALLY_CONTROLLED"
"""The arm executes a twist: that of this program, or of a joystick, a web page or another program."""
_STATES = {
    _EXECUTING: "the arm is moved by hand, a joystick or another program: end that",
    "ARMSTATE_IN_FAULT": "the arm is in fault: fix the named cause, then call arm/clear_faults",
    "ARMSTATE_SERVOING_LOW_LEVEL": "another program controls the arm at low level: end it",
    "ARMSTATE_SERVOING_PLAYING_SEQUENCE": "another program plays a sequence on the arm: end it",
}


def fault_texts(feedback, moving: bool) -> list[str]:
    """BaseCyclic.Feedback -> one text for each fault; empty when the arm may move.

    moving: this program has sent a twist that is not zero, now or a moment ago.
    """
    from kortex_api.autogen.messages import ActuatorConfig_pb2, Base_pb2, Common_pb2, InterconnectConfig_pb2

    found = []
    state = _name(Common_pb2.ArmState, feedback.base.active_state)
    if state != _READY and not (moving and state == _EXECUTING):
        found.append(_STATES.get(state, f"the arm is not ready to move ({state})"))
    found += _bank("base", Base_pb2.SafetyIdentifier, feedback.base.fault_bank_a)
    found += _bank("base, bank B", None, feedback.base.fault_bank_b)
    for number, actuator in enumerate(feedback.actuators, 1):
        found += _bank(f"joint {number}", ActuatorConfig_pb2.SafetyIdentifierBankA, actuator.fault_bank_a)
        found += _bank(f"joint {number}, bank B", None, actuator.fault_bank_b)
    found += _bank("wrist", InterconnectConfig_pb2.SafetyIdentifier, feedback.interconnect.fault_bank_a)
    found += _bank("wrist, bank B", None, feedback.interconnect.fault_bank_b)
    if not feedback.interconnect.gripper_feedback.motor:
        found.append("the arm reports no gripper: check that it is plugged in and configured")
    return found


def _bank(where: str, names, bits: int) -> list[str]:
    known = {value: name for name, value in names.items()} if names and bits else {}
    ones = [1 << index for index in range(bits.bit_length()) if bits >> index & 1]
    return [f"{where}: {known.get(bit, f'fault {bit:#x}').lower().replace('_', ' ')}" for bit in ones]


def _name(names, value: int) -> str:
    return next((name for name, number in names.items() if number == value), f"state {value}")

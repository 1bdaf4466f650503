"""Messages, enumerations and methods: names, types and numbers as the vendor documents them. Field numbers
are ours.
"""

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.internal.enum_type_wrapper import EnumTypeWrapper

_AXES = "x:float y:float z:float"
_ANGLES = "theta_x:float theta_y:float theta_z:float"
_BANKS = "fault_bank_a:uint32 fault_bank_b:uint32 warning_bank_a:uint32 warning_bank_b:uint32"


def _prefixed(prefix: str, fields: str) -> str:
    return " ".join(prefix + field for field in fields.split())


MESSAGES = {
    "Common": {"Empty": ""},
    "Session": {
        "CreateSessionInfo": "username:string session_inactivity_timeout:uint32 password:string "
        "connection_inactivity_timeout:uint32",
    },
    "Base": {
        "Twist": f"{_prefixed('linear_', _AXES)} {_prefixed('angular_', _AXES)}",
        "TwistCommand": "reference_frame:uint32 twist:Base.Twist duration:uint32",
        "Finger": "finger_identifier:uint32 value:float",
        "Gripper": "finger:Base.Finger*",
        "GripperCommand": "mode:uint32 gripper:Base.Gripper duration:uint32",
        "ServoingModeInformation": "servoing_mode:uint32",
        "ActuatorInformation": "count:uint32",
        "ArmStateInformation": "active_state:uint32",
        "FirmwareBundleVersions": "main_bundle_version:string",
    },
    "ControlConfig": {
        "CartesianTransform": f"{_AXES} {_ANGLES}",
        "ToolConfiguration": "tool_transform:ControlConfig.CartesianTransform tool_mass:float",
    },
    "DeviceConfig": {"SerialNumber": "serial_number:string"},
    "ActuatorConfig": {},
    "InterconnectConfig": {},
    "GripperCyclic": {
        "MotorFeedback": "motor_id:uint32 position:float velocity:float",
        "Feedback": f"{_BANKS} motor:GripperCyclic.MotorFeedback*",
    },
    "InterconnectCyclic": {"Feedback": f"{_BANKS} gripper_feedback:GripperCyclic.Feedback"},
    "BaseCyclic": {
        "BaseFeedback": f"active_state:uint32 {_BANKS} "
        + " ".join(
            _prefixed(f"{name}_", f"{_AXES} {_ANGLES}") for name in ("tool_pose", "commanded_tool_pose")
        )
        + f" {_prefixed('tool_external_wrench_force_', _AXES)}"
        + f" {_prefixed('tool_external_wrench_torque_', _AXES)}",
        "ActuatorFeedback": f"position:float velocity:float torque:float {_BANKS}",
        "Feedback": "frame_id:uint32 base:BaseCyclic.BaseFeedback actuators:BaseCyclic.ActuatorFeedback* "
        "interconnect:InterconnectCyclic.Feedback",
    },
}

ENUMS = {
    "Common": {
        "ArmState": {
            "ARMSTATE_UNSPECIFIED": 0,
            "ARMSTATE_IDLE": 2,
            "ARMSTATE_INITIALIZATION": 3,
            "ARMSTATE_IN_FAULT": 4,
            "ARMSTATE_MAINTENANCE": 5,
            "ARMSTATE_SERVOING_LOW_LEVEL": 6,
            "ARMSTATE_SERVOING_READY": 7,
            "ARMSTATE_SERVOING_PLAYING_SEQUENCE": 8,
            "ARMSTATE_SERVOING_MANUALLY_CONTROLLED": 9,
            "ARMSTATE_BRAKE_RELEASING": 10,
        },
        "CartesianReferenceFrame": {
            "CARTESIAN_REFERENCE_FRAME_UNSPECIFIED": 0,
            "CARTESIAN_REFERENCE_FRAME_MIXED": 1,
            "CARTESIAN_REFERENCE_FRAME_TOOL": 2,
            "CARTESIAN_REFERENCE_FRAME_BASE": 3,
        },
    },
    "Base": {
        "ServoingMode": {"UNSPECIFIED_SERVOING_MODE": 0, "SINGLE_LEVEL_SERVOING": 2, "LOW_LEVEL_SERVOING": 3},
        "GripperMode": {
            "UNSPECIFIED_GRIPPER_MODE": 0,
            "GRIPPER_FORCE": 1,
            "GRIPPER_SPEED": 2,
            "GRIPPER_POSITION": 3,
        },
        "SafetyIdentifier": {
            "UNSPECIFIED_BASE_SAFETY_IDENTIFIER": 0,
            "JOINT_FAULT": 1 << 4,
            "EMERGENCY_STOP_ACTIVATED": 1 << 23,
        },
    },
    "ActuatorConfig": {
        "SafetyIdentifierBankA": {
            "UNSPECIFIED_ACTUATOR_SAFETY_IDENTIFIER_BANK_A": 0,
            "FOLLOWING_ERROR": 1 << 0,
            "MAXIMUM_TORQUE": 1 << 5,
        },
    },
    "InterconnectConfig": {
        "SafetyIdentifier": {
            "UNSPECIFIED_INTERCONNECT_SAFETY_IDENTIFIER": 0,
            "COMMUNICATION_TICK_LOST": 1 << 7,
        },
    },
}

METHODS = {
    "Session": {
        "CreateSession": ("Session.CreateSessionInfo", "Common.Empty"),
        "CloseSession": (None, "Common.Empty"),
    },
    "Base": {
        "SendTwistCommand": ("Base.TwistCommand", "Common.Empty"),
        "SendGripperCommand": ("Base.GripperCommand", "Common.Empty"),
        "SetServoingMode": ("Base.ServoingModeInformation", "Common.Empty"),
        "Stop": (None, "Common.Empty"),
        "ClearFaults": (None, "Common.Empty"),
        "GetActuatorCount": (None, "Base.ActuatorInformation"),
        "GetArmState": (None, "Base.ArmStateInformation"),
        "GetFirmwareBundleVersions": (None, "Base.FirmwareBundleVersions"),
    },
    "BaseCyclic": {"RefreshFeedback": (None, "BaseCyclic.Feedback")},
    "ControlConfig": {"GetToolConfiguration": (None, "ControlConfig.ToolConfiguration")},
    "DeviceConfig": {"GetSerialNumber": (None, "DeviceConfig.SerialNumber")},
}

_KINDS = {
    name: getattr(descriptor_pb2.FieldDescriptorProto, f"TYPE_{name.upper()}")
    for name in ("float", "uint32", "string")
}
_POOL = descriptor_pool.DescriptorPool()


def _add(package: str) -> None:
    file = descriptor_pb2.FileDescriptorProto(
        name=f"{package}.proto", package=f"Standin.{package}", syntax="proto3"
    )
    for message, fields in MESSAGES[package].items():
        kind = file.message_type.add(name=message)
        for number, (name, _, type_) in enumerate((field.partition(":") for field in fields.split()), 1):
            field = kind.field.add(name=name, number=number)
            repeated = type_.endswith("*")
            field.label = field.LABEL_REPEATED if repeated else field.LABEL_OPTIONAL
            if type_ in _KINDS:
                field.type = _KINDS[type_]
            else:
                field.type, field.type_name = field.TYPE_MESSAGE, f".Standin.{type_.rstrip('*')}"
                other = type_.partition(".")[0]
                if other != package and f"{other}.proto" not in file.dependency:
                    file.dependency.append(f"{other}.proto")
    for enum, values in ENUMS.get(package, {}).items():
        kind = file.enum_type.add(name=enum)
        for name, number in values.items():
            kind.value.add(name=name, number=number)
    _POOL.Add(file) if hasattr(_POOL, "Add") else _POOL.AddSerializedFile(file.SerializeToString())


for _package in MESSAGES:
    _add(_package)


def message(name: str):
    """The class of "Package.Message"."""
    descriptor = _POOL.FindMessageTypeByName(f"Standin.{name}")
    if hasattr(message_factory, "GetMessageClass"):
        return message_factory.GetMessageClass(descriptor)
    return message_factory.MessageFactory(_POOL).GetPrototype(descriptor)


def fill(module: dict, package: str) -> None:
    """What the generated module <package>_pb2 holds: message classes, enumerations and their values."""
    for name in MESSAGES[package]:
        module[name] = message(f"{package}.{name}")
    for name, values in ENUMS.get(package, {}).items():
        module[name] = EnumTypeWrapper(_POOL.FindEnumTypeByName(f"Standin.{package}.{name}"))
        module.update(values)

"""Loading the vendor's library: layouts, symbols, search path; and what its codes mean. With GR1_KINOVA_SDK,
on the real one too.
"""

import ctypes
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from gr1_robot.arm.backend import ArmError
from gr1_robot.arm.drivers.kinova_gen2 import sdk
from gr1_robot.arm.drivers.kinova_gen2.faults import CONNECTION_LOST, TEXTS, SdkError

from . import standin as standins
from .standin import StandIn

START = """
import sys
from gr1_robot.arm.drivers.kinova_gen2.session import Session
from gr1_robot.arm.drivers.kinova_gen2.sdk import Library
from gr1_robot.arm.backend import ArmError
try:
    library = Library(sys.argv[1], sys.argv[2])
    print("version", library.version())
    link = Session(library, None, "", 0.022)
    link.open()
    print(link.identity)
except ArmError as error:
    print("refused:", error)
"""


def start(folder, environment: dict, connection: str = "usb") -> subprocess.CompletedProcess:
    """Connects in a process of its own, as only there the search path can be what it should be."""
    return subprocess.run(
        [sys.executable, "-c", START, os.fspath(folder), connection],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize("name", [kind.__name__ for kind in sdk.LAYOUTS])
def test_the_structs_are_laid_out_as_published(name):
    kind = getattr(sdk, name)
    size, offsets = sdk.LAYOUTS[kind]
    assert ctypes.sizeof(kind) == size
    assert {field: getattr(kind, field).offset for field in offsets} == offsets


def test_the_sizes_are_those_that_the_vendor_publishes():
    sizes = {kind.__name__: size for kind, (size, _) in sdk.LAYOUTS.items()}
    assert sizes == {
        **{
            "CartesianInfo": 24,
            "AngularInfo": 28,
            "FingersPosition": 12,
            "CartesianPosition": 36,
            "AngularPosition": 40,
        },
        **{
            "UserPosition": 76,
            "TrajectoryPoint": 120,
            "TrajectoryFIFO": 12,
            "QuickStatus": 14,
            "KinovaDevice": 60,
        },
        "EthernetCommConfig": 40,
    }


def test_a_platform_with_another_layout_is_refused_by_name():
    class TrajectoryPoint(ctypes.Structure):
        _fields_ = [("Position", ctypes.c_double * 10), ("LimitationsActive", ctypes.c_int)]

    with pytest.raises(
        ArmError,
        match="struct TrajectoryPoint: LimitationsActive is 80 bytes here, the vendor's library has 76.*x86",
    ):
        sdk.check_layouts({TrajectoryPoint: (88, {"LimitationsActive": 76})})


def test_the_sdk_folder_has_to_be_given_and_to_hold_the_library(tmp_path):
    with pytest.raises(ArmError, match="kinova_gen2.sdk is empty: give the folder.*USBCommandLayerUbuntu.so"):
        sdk.Library("", "usb")
    with pytest.raises(
        ArmError,
        match=f"{tmp_path} holds neither Kinova.API.EthCommandLayerUbuntu.so nor EthCommandLayerUbuntu.so",
    ):
        sdk.Library(os.fspath(tmp_path), "ethernet")


@pytest.mark.parametrize("name", ["Kinova.API.USBCommandLayerUbuntu.so", "USBCommandLayerUbuntu.so"])
def test_the_library_is_found_with_and_without_the_vendors_prefix(tmp_path, name):
    shutil.copy(standins.sdk() / "Kinova.API.USBCommandLayerUbuntu.so", tmp_path / name)
    assert sdk.Library(os.fspath(tmp_path), "usb").path == tmp_path / name


def test_a_library_for_another_machine_is_refused(tmp_path):
    (tmp_path / "USBCommandLayerUbuntu.so").write_bytes(b"\x7fELF for something else")
    with pytest.raises(ArmError, match="cannot be loaded.*64-bit Linux on x86"):
        sdk.Library(os.fspath(tmp_path), "usb")


def test_missing_functions_are_named(tmp_path):
    shutil.copy(standins.sdk() / "Kinova.API.USBCommandLayerUbuntu.so", tmp_path / "EthCommandLayerUbuntu.so")
    with pytest.raises(
        ArmError,
        match="lacks Ethernet_InitEthernetAPI, Ethernet_GetAPIVersion,.*Ethernet_GetAngularVelocity.*SDK 5.2",
    ):
        sdk.Library(os.fspath(tmp_path), "ethernet")


def test_without_the_search_path_the_exact_line_to_run_is_said_and_nothing_crashes(tmp_path):
    arm = StandIn(tmp_path)
    done = start(
        standins.sdk(), {**arm.environment, "LD_LIBRARY_PATH": os.environ.get("LD_LIBRARY_PATH", "")}
    )
    assert done.returncode == 0, "the library crashes in any call after this error"
    assert (
        "error 2002" in done.stdout
        and f"export LD_LIBRARY_PATH={standins.sdk()}:$LD_LIBRARY_PATH" in done.stdout
    )
    assert arm.calls()[-1] == "InitAPI"


def test_with_the_search_path_it_connects(tmp_path):
    done = start(standins.sdk(), StandIn(tmp_path).environment)
    assert (
        "Kinova Gen2, 7 joints, spherical wrist, serial PJ00000000, firmware 6.2.5, over usb, SDK 5.2.0"
        in done.stdout
    ), done.stderr


def test_every_code_has_a_meaning_and_a_remedy():
    assert {1010, 1015, 1022, 2002, 2005} <= set(TEXTS) and CONNECTION_LOST <= set(TEXTS)
    for code, (meaning, remedy) in TEXTS.items():
        assert str(SdkError("F", code)).startswith(f"F: error {code}, {meaning}")
        assert remedy or code == 2002  # its remedy is the line above
    assert "not list" in str(SdkError("F", 4711))


# The vendor's own library

REAL = os.environ.get("GR1_KINOVA_SDK", "")
real = pytest.mark.skipif(not REAL, reason="GR1_KINOVA_SDK, the folder of the vendor's SDK, is not set")


@real
@pytest.mark.parametrize("connection", ["usb", "ethernet"])
def test_the_real_command_layer_has_every_function(connection):
    assert re.fullmatch(r"5\.\d+\.\d+", sdk.Library(REAL, connection).version())


@real
def test_the_real_command_layer_is_laid_out_as_checked():
    if not shutil.which("gdb"):
        pytest.skip("gdb, which reads the library's debug information, is not installed")
    library = sdk.Library(REAL, "ethernet").path
    for kind, (size, offsets) in sdk.LAYOUTS.items():
        questions = [
            f"print sizeof(struct {kind.__name__})",
            *(f"print (long)&((struct {kind.__name__} *)0)->{name}" for name in offsets),
        ]
        commands = [part for question in questions for part in ("-ex", question)]
        said = subprocess.run(
            ["gdb", "-batch", "-nx", *commands, os.fspath(library)], capture_output=True, text=True
        ).stdout
        assert [int(number) for number in re.findall(r"\$\d+ = (\d+)", said)] == [size, *offsets.values()], (
            kind.__name__
        )


@real
def test_the_real_command_layer_says_what_is_missing_without_an_arm():
    folder = os.fspath(Path(REAL).resolve())
    done = start(folder, {"LD_LIBRARY_PATH": f"{folder}:{os.environ.get('LD_LIBRARY_PATH', '')}"})
    assert done.returncode == 0 and re.search(r"refused: InitAPI: error 1\d\d\d", done.stdout), done
    done = start(folder, {"LD_LIBRARY_PATH": ""})
    assert done.returncode == 0 and "error 2002" in done.stdout, done

"""docker/: what can be promised of images without an engine. Linted, validated, pinned, nobody is root, every step exists."""

import importlib.util
import re
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
DOCKER = ROOT / "docker"
COMPOSE = yaml.safe_load((DOCKER / "compose.yaml").read_text())
SERVICES = COMPOSE["services"]
PINNED = re.compile(r"[\w./-]+:[\w.-]+@sha256:[0-9a-f]{64}")


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile as (instruction, rest), continued lines joined."""
    lines = [line for line in (DOCKER / "Dockerfile").read_text().splitlines() if not line.startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    return [tuple(line.split(maxsplit=1)) for line in joined.splitlines() if line.strip()]


def stages() -> dict[str, list[tuple[str, str]]]:
    """Stage name -> its instructions after FROM."""
    found, name = {}, None
    for word, rest in instructions():
        if word == "FROM":
            name = rest.split(" AS ")[1]
            found[name] = []
        elif name:
            found[name].append((word, rest))
    return found


def of(stage: str, word: str) -> list[str]:
    return [rest for one, rest in stages()[stage] if one == word]


def tool(*words) -> subprocess.CompletedProcess:
    return subprocess.run(
        [Path(sys.executable).parent / words[0], *words[1:]], capture_output=True, text=True, cwd=ROOT
    )


def test_hadolint_has_nothing_to_say_about_the_dockerfile():
    linted = tool("hadolint", DOCKER / "Dockerfile")
    assert (linted.returncode, linted.stdout) == (0, "")


def test_hadolint_would_have_something_to_say(tmp_path):
    (tmp_path / "Dockerfile").write_text("FROM ubuntu\nRUN apt-get install make\n")
    assert tool("hadolint", tmp_path / "Dockerfile").returncode == 1


def test_compose_yaml_is_what_the_compose_specification_allows(tmp_path):
    checked = tool("check-jsonschema", "--builtin-schema", "vendor.compose-spec", DOCKER / "compose.yaml")
    assert checked.returncode == 0, checked.stdout
    (tmp_path / "compose.yaml").write_text(yaml.safe_dump(COMPOSE | {"services": {"robot": {"ulimit": 3}}}))
    assert (
        tool(
            "check-jsonschema", "--builtin-schema", "vendor.compose-spec", tmp_path / "compose.yaml"
        ).returncode
        == 1
    )


def test_every_base_is_pinned_by_digest():
    bases = dict(rest.split("=", 1) for word, rest in instructions() if word == "ARG")
    used = [rest.split()[0].strip("${}") for word, rest in instructions() if word == "FROM"]
    assert set(used) == set(bases) and all(PINNED.fullmatch(base) for base in bases.values())


@pytest.mark.parametrize("stage", stages())
def test_nobody_is_root_and_health_is_checked(stage):
    assert of(stage, "USER") and re.fullmatch(r"[1-9]\d*:[1-9]\d*", of(stage, "USER")[-1])
    assert len(of(stage, "HEALTHCHECK")) == 1 and " CMD [" in of(stage, "HEALTHCHECK")[0]


def test_the_stages_are_the_three_images_and_a_viewer():
    assert set(stages()) == {"robot", "simulation", "training", "display"}
    by_profile = {}
    for name, service in SERVICES.items():
        assert (
            service["build"]["target"] in stages()
            and (DOCKER / service["build"]["context"]).resolve() == ROOT
        )
        assert (ROOT / service["build"]["dockerfile"]).is_file()
        assert "user" not in service and "privileged" not in service
        for profile in service["profiles"]:
            by_profile.setdefault(profile, set()).add(name)
    assert by_profile == {
        "robot": {"robot"},
        "sim": {"simulation"},
        "sim-display": {"simulation", "rviz"},
        "training": {"training"},
    }


@pytest.mark.parametrize("stage", stages())
def test_what_is_copied_exists_and_is_let_in(stage):
    ignored = [
        line
        for line in (DOCKER / "Dockerfile.dockerignore").read_text().splitlines()
        if line and not line.startswith("#")
    ]
    assert ignored[0] == "*", "nothing goes in that is not named"
    let_in = {pattern[1:] for pattern in ignored if pattern.startswith("!")}
    assert all((ROOT / name).exists() for name in let_in)
    for rest in of(stage, "COPY"):
        *sources, _ = [word for word in rest.split() if not word.startswith("--")]
        for source in sources:
            assert (ROOT / source).exists()
            assert source == "." or source.split("/")[0] in let_in


def test_the_sources_of_every_installed_package_are_let_in():
    let_in = [
        line[1:]
        for line in (DOCKER / "Dockerfile.dockerignore").read_text().splitlines()
        if line.startswith("!")
    ]
    makefile = (ROOT / "Makefile").read_text()
    ours = re.search(r"^OURS := (.*)$", makefile, re.MULTILINE)[1]
    for path in re.findall(r'-e "?([\w/]+)', ours):
        assert path.split("/")[0] in let_in
    assert "constraints.txt" in let_in and "Makefile" in let_in


def test_recorded_data_and_virtual_environments_stay_out():
    let_in = [
        line[1:]
        for line in (DOCKER / "Dockerfile.dockerignore").read_text().splitlines()
        if line.startswith("!")
    ]
    for name in (".venv", ".git", "bags", "runs", "data", "out", "lab", ".env"):
        assert not any(fnmatch(name, pattern) for pattern in let_in)


def test_the_steps_are_the_makefiles():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for stage in ("robot", "simulation", "training"):
        used = [
            word
            for run in of(stage, "RUN")
            for call in re.findall(r"\bmake ((?:[a-z-]+ ?)+)", run)
            for word in call.split()
        ]
        assert used[:2] == ["system", "setup"] and set(used) <= targets
        assert not any("pip install" in run for run in of(stage, "RUN"))


def test_what_the_images_start_exists():
    programs = {"gr1", "rviz2", "python", "bash"}
    started = [
        yaml.safe_load(rest[rest.index("[") :])
        for stage in stages()
        for word in ("CMD", "HEALTHCHECK")
        for rest in of(stage, word)
    ]
    started += [service["command"] for service in SERVICES.values() if "command" in service]
    assert len(started) > 8 and {words[0] for words in started} <= programs
    for words in started:
        if words[:2] == ["python", "-m"]:
            assert importlib.util.find_spec(words[2])
    profiles = {
        service["environment"]["FASTRTPS_DEFAULT_PROFILES_FILE"]
        for service in SERVICES.values()
        if "environment" in service
    }
    assert (
        profiles == {"/opt/gr1/launch/config/fastdds.xml"} and (ROOT / "launch/config/fastdds.xml").is_file()
    )


def test_the_robot_has_its_sdk_mounted_its_devices_and_its_beat():
    robot = SERVICES["robot"]
    mounts = {
        volume.split(":")[-1 if volume.count(":") == 1 else -2]: volume
        for volume in (v.replace(":-", "=") for v in robot["volumes"])
    }
    assert mounts["/opt/kinova"].endswith(":ro") and "/dev/bus/usb" in mounts
    assert robot["environment"]["LD_LIBRARY_PATH"] == "/opt/kinova" and not any(
        "kinova" in rest for rest in of("robot", "COPY")
    )
    assert mounts[robot["environment"]["PYTHONPATH"]] == "${KORTEX_API=../lab/kortex_api}:/opt/kortex_api:ro"
    assert robot["ulimits"] == SERVICES["simulation"]["ulimits"] == {"rtprio": 95} and "cap_add" not in robot
    assert robot["device_cgroup_rules"] == ["c 189:* rmw"]
    assert robot["restart"] == "no", "an arm that has lost its node is armed by a person"


@pytest.mark.parametrize("name", ["robot", "simulation", "rviz"])
def test_nodes_of_several_containers_are_one_graph(name):
    service = SERVICES[name]
    assert service["network_mode"] == service["ipc"] == "host" and "ROS_DOMAIN_ID" in service["environment"]

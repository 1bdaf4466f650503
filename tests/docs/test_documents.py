"""README, CONTRIBUTING, the packages' READMEs and docs/: short, and all that they point to exists."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LONG_ON_PURPOSE = {"docs/results/log.md", "docs/reference/command_line.md"}
PACKAGES = sorted(folder.name for folder in (ROOT / "ros2_ws" / "src").iterdir())
FOLDERS = ("docs", "docker", "gr1_core", "launch", "ros2_ws", "scripts", "teleop_vr", "tests", *PACKAGES)
FENCED = re.compile(r"^```.*?^```", re.M | re.S)
LINK = re.compile(r"\]\((?!https?:|mailto:)([^)#\s]*)(?:#([^)\s]*))?\)")
PLACEHOLDER = re.compile(r"my_|NAME|DIR")
TRACKED_PATH = re.compile(rf"`((?:{'|'.join(FOLDERS)})/[\w./-]+)`")


def documents() -> list[str]:
    """Every tracked Markdown file, relative to the repository."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "*.md"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return [name for name in listed.stdout.split("\0") if name]


def pages() -> list[str]:
    return [name for name in documents() if name.startswith("docs/")]


def text_of(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf8")


def anchors(file: Path) -> set[str]:
    """The anchors that GitHub and MkDocs give the headings of a Markdown file."""
    headings = re.findall(r"^#+ +(.*?)\s*$", FENCED.sub("", file.read_text(encoding="utf8")), re.M)
    kept = (
        re.sub(r"[^\w\s-]", "", re.sub(r"\[(.*?)\]\(.*?\)", r"\1", each)).strip().lower() for each in headings
    )
    return {re.sub(r"\s", "-", each) for each in kept}


def exists(path: str) -> bool:
    """From the repository's root, or from the folder of a package: `gr1_robot/arm/gate.py`."""
    package = path.split("/")[0]
    return any(
        (base / path).exists() for base in (ROOT, ROOT / "gr1_core", ROOT / "ros2_ws" / "src" / package)
    )


def test_the_readme_fits_on_80_lines_of_120_characters():
    lines = text_of("README.md").splitlines()
    assert len(lines) <= 80
    assert [line for line in lines if len(line) > 120] == []


@pytest.mark.parametrize("name", documents())
def test_relative_links_lead_to_files_and_headings_that_exist(name):
    dead = []
    for target, anchor in LINK.findall(FENCED.sub("", text_of(name))):
        file = (ROOT / name).parent / target if target else ROOT / name
        if not file.exists() or (anchor and file.suffix == ".md" and anchor not in anchors(file)):
            dead.append(f"{target}#{anchor}")
    assert dead == []


@pytest.mark.parametrize("name", [name for name in documents() if name not in LONG_ON_PURPOSE])
def test_paths_of_the_repository_that_a_document_names_exist(name):
    named = [path for path in TRACKED_PATH.findall(text_of(name)) if not PLACEHOLDER.search(path)]
    assert [path for path in named if not exists(path)] == []


@pytest.mark.parametrize("name", [name for name in pages() if name not in LONG_ON_PURPOSE])
def test_a_page_has_at_most_250_lines(name):
    assert len(text_of(name).splitlines()) <= 250


@pytest.mark.parametrize("name", [name for name in pages() if name not in LONG_ON_PURPOSE])
def test_a_list_or_table_stands_apart_from_the_text_above_it(name):
    """MkDocs renders a list that follows a paragraph without an empty line as part of the paragraph."""
    lines = FENCED.sub("", text_of(name)).splitlines()
    item = re.compile(r"(- |\d+\. |\|)")
    joined = [
        line
        for above, line in zip(lines, lines[1:])
        if item.match(line) and above.strip() and not re.match(r"\s|- |\d+\. |\||#", above)
    ]
    assert joined == []


@pytest.mark.parametrize(
    "name", [name for name in pages() if name not in {"docs/index.md", "docs/results/log.md"}]
)
def test_a_page_names_its_readers_at_the_top(name):
    assert text_of(name).splitlines()[2].startswith("For ")


@pytest.mark.parametrize("name", [name for name in pages() if name not in LONG_ON_PURPOSE])
def test_a_block_inside_a_list_is_indented_by_four_spaces(name):
    """MkDocs ends the list at a block that is indented by less."""
    lines = FENCED.sub("", text_of(name)).splitlines()
    assert [
        line for above, line in zip(lines, lines[1:]) if not above.strip() and re.match(r" {1,3}\S", line)
    ] == []

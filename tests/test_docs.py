"""Pages must not speak of what isn't there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from streams.cli import COMMANDS

ROOT = Path(__file__).parents[1]
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_every_link_leads_to_a_file(page: Path) -> None:
    links = re.findall(r"\]\((?!https?://)([^)#]+)", page.read_text("utf-8"))

    assert not [link for link in links if not (page.parent / link).exists()]


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_every_command_named_exists(page: Path) -> None:
    named = set(re.findall(r"(?:`|^|\$ |&& )profiler ([a-z]+)\b", page.read_text("utf-8"), re.M))

    assert named <= set(COMMANDS)


def test_the_readme_names_every_command() -> None:
    readme = (ROOT / "README.md").read_text("utf-8")

    assert not [name for name in COMMANDS if f"| `profiler {name}" not in readme]


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_every_module_named_exists(page: Path) -> None:
    named = re.findall(r"`((?:profiler|streams|tests|schemas|docs)/[\w/]+\.\w+)`", page.read_text())

    assert not [path for path in named if not (ROOT / path).exists()]

"""MovieLens-100k is taken only if it is what was published; no test fetches anything."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from profiler.errors import UsageError
from streams import movielens

HEADER = "user_id:token\titem_id:token\trating:float\ttimestamp:float\n"


def wheel(text: str) -> Callable[[Path], None]:
    """Make what `fetch` would have brought."""

    def fetch(folder: Path) -> None:
        with zipfile.ZipFile(folder / "recbole-1.2.1-py3-none-any.whl", "w") as archive:
            archive.writestr(movielens.MEMBER, text)

    return fetch


@pytest.fixture
def _any_digest(monkeypatch: pytest.MonkeyPatch) -> None:
    class Digest:
        def __init__(self, content: bytes) -> None:
            pass

        def hexdigest(self) -> str:
            return movielens.WHEEL_SHA256

    monkeypatch.setattr("streams.movielens.hashlib.sha256", Digest)


@pytest.mark.usefixtures("_any_digest")
def test_the_ratings_are_unpacked_without_their_header(tmp_path: Path) -> None:
    rows = "196\t242\t3\t881250949\n" * movielens.RATINGS

    path = movielens.ratings_file(tmp_path / "new", wheel(HEADER + rows))

    assert path.read_text() == rows
    assert [p.name for p in path.parent.iterdir()] == ["u.data"]


def test_a_wheel_with_other_bytes_is_refused_and_nothing_is_left(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not what was published"):
        movielens.ratings_file(tmp_path, wheel(HEADER))

    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("_any_digest")
@pytest.mark.parametrize(
    ("text", "problem"), [("a\tb\n1\t2\n", "other columns"), (HEADER + "1\t2\t3\t4\n", "100,000")]
)
def test_a_file_that_has_changed_is_refused(tmp_path: Path, text: str, problem: str) -> None:
    with pytest.raises(UsageError, match=problem):
        movielens.ratings_file(tmp_path, wheel(text))


def test_what_is_there_is_not_fetched_again(tmp_path: Path) -> None:
    (tmp_path / "u.data").write_text("there")

    def fetch(folder: Path) -> None:
        raise AssertionError("fetched")

    assert movielens.ratings_file(tmp_path, fetch).read_text() == "there"


def test_the_command_says_why_it_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streams.movielens._pip", wheel(HEADER))

    result = CliRunner().invoke(movielens.main, [str(tmp_path)])

    assert result.exit_code == 1
    assert "not what was published" in result.output

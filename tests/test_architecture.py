"""The rules of the house, read off the syntax trees: who imports what, and how large things are."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CORE = sorted((ROOT / "profiler").rglob("*.py"))
EDGES = sorted((ROOT / "streams").rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("*.py"))
OTHERS = sorted([*(ROOT / "benchmarks").rglob("*.py"), *(ROOT / "examples").rglob("*.py")])

FILE_LINES_MAX = 350
TEST_FILE_LINES_MAX = 500
FUNCTION_LINES_MAX = 60

EFFECTS = (
    # Kafka, Redis, the network, processes, threads
    *("faust", "mode", "kafka", "aiokafka", "redis", "hiredis", "asyncio", "socket", "ssl"),
    *("http", "urllib", "aiohttp", "subprocess", "multiprocessing", "threading", "concurrent"),
    # files, the environment, clocks, chance, logs, unsafe formats
    *("os", "sys", "io", "pathlib", "shutil", "tempfile", "glob", "time", "secrets", "uuid"),
    *("logging", "structlog", "prometheus_client", "click", "pickle", "marshal", "shelve"),
)
NO_EFFECTS = {"io.BytesIO"}
"""Memory that is read like a file, which some libraries insist on."""

EFFECTFUL_CALLS = {"open", "print", "input", "exec", "eval", "__import__"}
CLOCK_CALLS = {"now", "utcnow", "today"}
CHANCE_CALLS = {"random.Random", "np.random.default_rng"}
"""Chance is an argument or comes from a seed; so do these make it, and nothing else may."""


def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"), filename=str(path))


def imports_of(path: Path) -> Iterator[str]:
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports are not used"
            assert node.module is not None
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            if names <= NO_EFFECTS:
                continue
            yield node.module
            yield from names


def within(name: str, package: str) -> bool:
    return name == package or name.startswith(f"{package}.")


def calls_of(path: Path) -> Iterator[ast.Call]:
    yield from (node for node in ast.walk(tree_of(path)) if isinstance(node, ast.Call))


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", CORE, ids=name_of)
def test_the_core_imports_nothing_that_has_effects(path: Path) -> None:
    effects = {name for name in imports_of(path) for effect in EFFECTS if within(name, effect)}

    assert not effects


@pytest.mark.parametrize("path", CORE, ids=name_of)
def test_the_core_never_imports_the_edges(path: Path) -> None:
    assert not {name for name in imports_of(path) if within(name, "streams")}


@pytest.mark.parametrize("path", CORE, ids=name_of)
def test_the_core_opens_no_file_and_reads_no_clock(path: Path) -> None:
    names = {ast.unparse(call.func) for call in calls_of(path)}

    assert not names & EFFECTFUL_CALLS
    assert not {name for name in names if name.rpartition(".")[2] in CLOCK_CALLS}


@pytest.mark.parametrize("path", CORE, ids=name_of)
def test_chance_in_the_core_is_seeded(path: Path) -> None:
    for call in calls_of(path):
        name = ast.unparse(call.func)
        if name.startswith(("random.", "np.random.")):
            assert name in CHANCE_CALLS, name
            assert call.args or call.keywords, f"{name} without a seed"


@pytest.mark.parametrize("path", EDGES, ids=name_of)
def test_only_the_batching_touches_the_inside_of_faust(path: Path) -> None:
    inside = {name for name in imports_of(path) if within(name, "faust.transport")}

    assert not inside or name_of(path) in ("streams/batching.py", "streams/consumer_thread.py")


@pytest.mark.parametrize("path", EDGES, ids=name_of)
def test_only_the_settings_read_the_environment(path: Path) -> None:
    readers = ("os.environ", "os.environb", "os.getenv", "os.putenv")
    found = {name for name in imports_of(path) if name in readers} | {
        ast.unparse(node) for node in ast.walk(tree_of(path)) if isinstance(node, ast.Attribute)
    }.intersection(readers)

    # The command line sets what NumPy reads as it is imported, and reads nothing.
    is_set = path.read_text("utf-8").count("os.environ") == 1 and name_of(path) == "streams/cli.py"
    is_set = is_set and 'os.environ.setdefault("OPENBLAS_NUM_THREADS"' in path.read_text("utf-8")
    assert not found or name_of(path) == "streams/settings.py" or is_set


def reachable(start: Path) -> set[str]:
    """Modules that importing `start` imports, ours followed, theirs by name."""
    found: set[str] = set()
    waiting = [start]
    while waiting:
        for name in imports_of(waiting.pop()):
            if name not in found:
                found.add(name)
                base = ROOT / name.replace(".", "/")
                candidates = (base.with_suffix(".py"), base / "__init__.py")
                # Importing a module runs the `__init__` of every package above it.
                above = (ROOT / p / "__init__.py" for p in Path(*name.split(".")).parents)
                waiting += [path for path in (*candidates, *above) if path.exists()]
    return found


@pytest.mark.parametrize("name", ["client", "producer"])
def test_readers_and_producers_need_neither_faust_nor_river(name: str) -> None:
    heavy = ("faust", "mode", "river", "scipy", "aiokafka")

    imported = reachable(ROOT / f"streams/{name}.py")

    assert not {module for module in imported for package in heavy if within(module, package)}


@pytest.mark.parametrize("path", [*CORE, *EDGES], ids=name_of)
def test_nothing_is_unpickled(path: Path) -> None:
    unsafe = ("pickle", "marshal", "shelve", "dill", "joblib")

    assert not {name for name in imports_of(path) for module in unsafe if within(name, module)}


@pytest.mark.parametrize("path", [*CORE, *EDGES, *OTHERS], ids=name_of)
def test_a_file_is_short_enough_to_be_read(path: Path) -> None:
    assert path.read_text("utf-8").count("\n") <= FILE_LINES_MAX


@pytest.mark.parametrize("path", TESTS, ids=name_of)
def test_a_test_file_is_short_enough_to_be_read(path: Path) -> None:
    assert path.read_text("utf-8").count("\n") <= TEST_FILE_LINES_MAX


@pytest.mark.parametrize("path", [*CORE, *EDGES, *OTHERS], ids=name_of)
def test_a_function_is_short_enough_to_be_understood(path: Path) -> None:
    lines = {
        node.name: (node.end_lineno or node.lineno) - node.lineno + 1
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }

    assert not {name: n for name, n in lines.items() if n > FUNCTION_LINES_MAX}


@pytest.mark.parametrize("path", [*CORE, *EDGES], ids=name_of)
def test_no_file_has_a_name_that_says_nothing(path: Path) -> None:
    assert path.stem not in {"utils", "util", "common", "helpers", "misc", "manager"}

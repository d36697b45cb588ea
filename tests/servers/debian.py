"""Programs from Debian's archive, of any of its releases, unpacked beside the system.

A program comes with every library that it needs, the C library too, and is run by the loader of
that: so it does not matter which system, or which release, the machine itself has. Nothing is
installed, and nobody needs to be root. It takes apt and dpkg, and the network once.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final, Literal

from tests.servers.cache import cached, run_tool

Release = Literal["bookworm", "trixie"]

HINT: Final = "Debian's packages are fetched with apt and dpkg"
SOURCE: Final = (
    "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg]"
    " http://deb.debian.org/debian {release} main\n"
)


def debian_program(release: Release, package: str, program: str, name: str) -> list[str]:
    """Give the words that run a program, fetched if it is not there yet.

    Parameters
    ----------
    release, package
        Where it is from.
    program
        Its path within the package.
    name
        Under which it is run: some do what their name says.

    Raises
    ------
    ProfilerError
        If it cannot be fetched.
    """

    def fetch(folder: Path) -> None:
        for place in ("lists/partial", "archives/partial"):
            (folder / place).mkdir(parents=True)
        (folder / "sources.list").write_text(SOURCE.format(release=release))
        options = {
            "Dir::Etc::sourcelist": folder / "sources.list",
            "Dir::Etc::sourceparts": "/dev/null",
            "Dir::State::lists": folder / "lists",
            "Dir::State::status": "/dev/null",  # nothing is installed: all that it needs is fetched
            "Dir::Cache": folder,
            "Debug::NoLocking": 1,
            "APT::Install-Recommends": "false",
            "APT::Sandbox::User": "",  # else, for root, one who may not write here
        }
        apt = ["apt-get", *(f"-o{option}={value}" for option, value in options.items())]
        run_tool([*apt, "update"], HINT)
        run_tool([*apt, "install", "--yes", "--download-only", package], HINT)
        for file in (folder / "archives").glob("*.deb"):
            run_tool(["dpkg", "-x", str(file), str(folder / "root")], HINT)
            file.unlink()
        shutil.rmtree(folder / "lists")
        for index in folder.glob("*.bin"):
            index.unlink()

    root = cached(f"{release}-{package}", fetch) / "root"
    loader = next(p for p in sorted(root.rglob("ld-linux*.so.*")) if not p.is_symlink())
    folders = {library.parent for library in root.rglob("*.so.*")}
    libraries = sorted(str(place) for place in folders if place.name == loader.parent.name)
    return [
        *(str(loader), "--library-path", ":".join(libraries), "--argv0", name),
        str(root / program),
    ]

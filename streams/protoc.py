"""Schemas of Protobuf as registries keep them: into the descriptors that the core reads.

A registry gives the text of a ``.proto`` file, which only the compiler understands in full; some
give the serialised descriptor that a client registered, which needs none.
"""

from __future__ import annotations

import base64
import binascii
import importlib.util
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Final

from profiler.errors import ConfigurationError, UnusableSchema
from profiler.schemas import ProtobufSchema
from streams.settings import variable

try:
    from google.protobuf import descriptor_pb2
    from google.protobuf.message import DecodeError
except ModuleNotFoundError:
    descriptor_pb2 = None

COMPILE_TIMEOUT_S: Final = 20.0
OWN_NAME: Final = "registered_schema.proto"
SAID_CHARS_MAX: Final = 500


def descriptor_set(text: str, references: Mapping[str, str]) -> ProtobufSchema:
    """Give a schema with all that it imports, as descriptors.

    Parameters
    ----------
    text
        The schema: a ``.proto`` file, or the base64 of its descriptor.
    references
        What it imports, by the names under which it does, each after its own imports; in the
        same form.

    Raises
    ------
    UnusableSchema
        If it is none.
    ConfigurationError
        If protobuf, or the compiler, is needed and not installed.
    """
    if descriptor_pb2 is None:
        raise _missing("protobuf")
    files = {**references, OWN_NAME: text}
    serialised = {name: _descriptor(one) for name, one in files.items()}
    if None not in serialised.values():
        found = descriptor_pb2.FileDescriptorSet()
        for name, data in serialised.items():
            file = descriptor_pb2.FileDescriptorProto.FromString(data)
            file.name = name
            found.file.append(file)
        return ProtobufSchema(found.SerializeToString())
    return ProtobufSchema(_compiled(files))


def _descriptor(text: str) -> bytes | None:
    """Bytes of a descriptor; None if this is a text. No text is base64: it has spaces."""
    try:
        data = base64.b64decode(text, validate=True)
        descriptor_pb2.FileDescriptorProto.FromString(data)
    except (binascii.Error, ValueError, DecodeError):
        return None
    return data


def _compiled(files: Mapping[str, str]) -> bytes:
    if importlib.util.find_spec("grpc_tools") is None:
        raise _missing("the compiler of Protobuf")
    with tempfile.TemporaryDirectory(prefix="profiler-protoc-") as directory:
        root = Path(directory)
        for name, text in files.items():
            _write(root, name, text)
        result = root / "result"
        # A process of its own: what it is given is foreign, and it is written in C++.
        command = [sys.executable, "-m", "grpc_tools.protoc", f"-I{root}", "--include_imports"]
        try:
            done = subprocess.run(  # noqa: S603  # our own command, and a name that we made
                [*command, f"--descriptor_set_out={result}", str(root / OWN_NAME)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                timeout=COMPILE_TIMEOUT_S,
                check=False,
            )
        except subprocess.TimeoutExpired as fault:
            raise UnusableSchema("the compiler takes too long") from fault
        if done.returncode:
            said = done.stdout.decode(errors="replace").replace(f"{root}/", "").strip()
            raise UnusableSchema(f"it does not compile: {said[:SAID_CHARS_MAX]}")
        return result.read_bytes()


def _write(root: Path, name: str, text: str) -> None:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts:
        raise UnusableSchema(f"it imports {name!r}, which is no name of a file")
    try:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text, "utf-8")
    except (OSError, ValueError) as fault:
        raise UnusableSchema(f"it imports {name!r}, which is no name of a file") from fault


def _missing(what: str) -> ConfigurationError:
    return ConfigurationError(
        variable("registry_url"),
        f"a record is Protobuf, and {what} is missing: "
        "pip install 'streaming-user-profiles[protobuf]'",
    )

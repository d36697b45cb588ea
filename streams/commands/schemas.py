"""``profiler schemas``: the generated contracts."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import click
import msgspec

from profiler.contracts import generate
from profiler.errors import UsageError
from streams.console import json_option, show_json

EPILOG: Final = """\b
Examples:
  profiler schemas                                 list them
  profiler schemas asyncapi.json                   print one
  profiler schemas --write schemas                 write all to files"""


@click.command(
    name="schemas", short_help="List, print or write the generated contracts.", epilog=EPILOG
)
@click.argument("name", required=False)
@click.option(
    "--write",
    "directory",
    type=click.Path(file_okay=False, path_type=Path),
    help="Write all documents below this directory.",
)
@json_option
def command(name: str | None, directory: Path | None, as_json: bool) -> None:
    """List, print or write the contracts: JSON Schemas, AsyncAPI, Redis keys, vector layout.

    They are generated from the types. Nothing is published anywhere.
    """
    documents = generate()
    if name is not None:
        if name not in documents:
            raise UsageError(f"no document {name!r}: `profiler schemas` lists them")
        documents = {name: documents[name]}
    if directory is not None:
        for path, content in documents.items():
            target = directory / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
    if as_json:
        show_json({path: msgspec.json.decode(content) for path, content in documents.items()})
    elif name is not None and directory is None:
        click.echo(documents[name], nl=False)
    else:
        click.echo("\n".join(documents))

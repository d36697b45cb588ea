"""The command line. A command is one file in `streams.commands` and its name in `COMMANDS`.

Results go to standard output, everything else to standard error. Exit codes: 0 done, 1 a fault or a
check that failed, 2 the command line or a setting is wrong.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Final

import click

from profiler.errors import (
    BrokerUnavailable,
    ConfigurationError,
    ProfilerError,
    StoreUnavailable,
    UsageError,
)

COMMANDS: Final = (
    "demo",
    "worker",
    "replay",
    "simulate",
    "get",
    "audit",
    "deadletter",
    "topics",
    "schemas",
)
"""In the order of `profiler --help`. Each is the module of that name and its `command`."""

EPILOG: Final = """\b
Examples:
  profiler demo                                    see it all work
  export PROFILER_PSEUDONYM_KEY=$(openssl rand -hex 32)
  profiler topics create && profiler worker        run it

Settings are environment variables, or keys of the TOML file that PROFILER_CONFIG names: see
docs/settings.md. Exit codes: 0 done, 1 a fault or a failed check, 2 wrong usage or settings."""


def cli(names: Sequence[str] = COMMANDS) -> click.Group:
    """Build the command line with these commands; importing some of them takes a second."""
    return click.Group(
        "profiler",
        commands=[import_module(f"streams.commands.{name}").command for name in names],
        help="Keeps a profile of every person up to date while their events stream in.",
        epilog=EPILOG,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Carry out a command line and give its exit code.

    Parameters
    ----------
    arguments
        Without the program's name; by default those of this process.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments) or ["--help"]
    # `profiler get` must not wait for the imports of Faust and River.
    names = arguments[:1] if arguments[0] in COMMANDS else COMMANDS
    # Its faults reach people as our own errors, in one line.
    logging.getLogger("kafka").setLevel(logging.CRITICAL)
    try:
        return _code(cli(names).main(arguments, prog_name="profiler", standalone_mode=False))
    except click.ClickException as fault:
        fault.show()
        return fault.exit_code
    except click.Abort:
        return 130
    except (ConfigurationError, UsageError) as fault:
        return _say(str(fault), 2)
    except StoreUnavailable as fault:
        return _say(f"the store does not answer: {fault}; see PROFILER_STORE_URL", 1)
    except BrokerUnavailable as fault:
        return _say(f"{fault}; see PROFILER_BROKERS", 1)
    except ProfilerError as fault:
        return _say(str(fault), 1)
    except OSError as fault:
        return _say(f"{fault.filename}: {fault.strerror}" if fault.filename else str(fault), 1)


def _code(returned: object) -> int:
    return returned if isinstance(returned, int) else 0


def _say(fault: str, code: int) -> int:
    click.echo(" ".join(fault.split()), err=True)
    return code


if __name__ == "__main__":
    sys.exit(main())

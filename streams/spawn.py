"""Child processes that never outlive us, also after ``kill -9``.

A child asks the kernel to be killed when its parent goes. ``preexec_fn`` would be the usual place
for that, but it is unsafe in a process with threads, so a few lines of Python ask and then become
the program by ``exec``. The kernel watches the *thread* that started the child: start children from
a thread that lives as long as they should.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import IO, Final

HOST: Final = "127.0.0.1"

# Runs in a bare interpreter: asks to be killed with the parent (prctl 1, signal 9), makes sure that
# the parent has not gone in the meantime, and becomes the program.
_LAUNCHER: Final = """
import ctypes, os, sys
ctypes.CDLL(None).prctl(1, 9)
if os.getppid() != int(sys.argv[1]):
    sys.exit(1)
os.execv(sys.argv[2], sys.argv[2:])
"""


def spawn(
    command: Sequence[str], log: IO[bytes], environ: Mapping[str, str] | None = None
) -> subprocess.Popen[bytes]:
    """Start a program that dies with us; what it says goes to `log`.

    Parameters
    ----------
    command
        Full path of the program, and its arguments.
    log
        An open file.
    environ
        All of its environment; by default ours.
    """
    launch = [sys.executable, "-I", "-S", "-c", _LAUNCHER, str(os.getpid())]
    # A session of its own: Ctrl-C in the terminal is for us, and we end the child in our order.
    return subprocess.Popen(  # noqa: S603  # a command of ours, no shell
        [*launch, *command],
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
        env=environ,
        start_new_session=True,
    )


def free_port() -> int:
    """Find a loopback port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port

"""The process of a server: recognised after a restart of this program, waited for, and ended."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path


def identity(pid: int) -> str | None:
    """Return the boot and the start in clock ticks, which no later process with this pid shares; None if it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return None
    return None if fields[0] in "ZX" else f"{boot}:{fields[19]}"


def ending(pid: int, process: subprocess.Popen[bytes] | None) -> Callable[[], str | None]:
    """Return a function that tells how a server ended, or None while it runs.

    `process` is the server if this program started it.
    """
    before = identity(pid)

    def ended() -> str | None:
        if process is not None:
            status = process.poll()
            return None if status is None else f"with status {status}"
        return None if identity(pid) == before else "before it answered"

    return ended


def end(pid: int, grace_s: float = 10.0) -> None:
    """Terminate the session of a server, then kill it. It leads its session, so its group is its pid."""
    before = identity(pid)
    for number in (signal.SIGTERM, signal.SIGKILL):
        deadline = time.monotonic() + grace_s
        with suppress(ProcessLookupError):
            os.killpg(pid, number)
        while time.monotonic() < deadline:
            with suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
            if before is None or identity(pid) != before:
                return
            time.sleep(0.05)

"""What all commands share: the options before the command, where results are printed, and how Prefect is kept quiet."""

from __future__ import annotations

import os
from math import floor, log10
from pathlib import Path

from rich.console import Console

from flows.settings import Settings, load_settings

out = Console()


class Chosen:
    """The options that stand before the command; the callback of `odds` fills them once a run."""

    config: Path | None = None
    verbose: bool = False


def settings() -> Settings:
    """The settings of the chosen file."""
    return load_settings(Chosen.config)


def say(line: object) -> None:
    """Print a line that may be long; a terminal wraps it, a file keeps it whole."""
    out.print(line, highlight=False, soft_wrap=True, markup=False)


def quiet_prefect() -> None:
    """Prefect's defaults for a person at a terminal. Whatever the environment already says stays."""
    os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
    os.environ.setdefault("DO_NOT_TRACK", "1")  # what its client reads; else its first import prints a notice
    os.environ.setdefault("PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS", "120")
    os.environ.setdefault("PREFECT_LOGGING_LEVEL", "INFO" if Chosen.verbose else "CRITICAL")
    os.environ.setdefault("PREFECT_LOGGING_ROOT_LEVEL", "WARNING" if Chosen.verbose else "CRITICAL")


def money(value: float | None) -> str:
    """A cost as a person reads it: cents where it is large, three digits where it is small, nothing where unknown."""
    if value is None:
        return ""
    if value >= 1:
        return f"{value:,.2f}"
    if value == 0 or value >= 1e-4:
        return f"{value:.3g}"
    return f"{value:.{1 - floor(log10(value))}f}"

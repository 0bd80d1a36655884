"""What all commands share: the options before the command, the output, and how Prefect is kept quiet."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import TextIOWrapper
from math import floor, log10
from pathlib import Path
from typing import IO, TYPE_CHECKING

from rich.console import Console, ConsoleOptions, ConsoleRenderable, RenderHook, RenderResult
from rich.segment import Segment
from rich.table import Table

from flows.settings.settings import Settings, load_settings

if TYPE_CHECKING:
    from warehouse.files.formats import Writable

# Characters that move the cursor, control the terminal or reverse the text direction, except tab and line feed; and
# half characters (lone surrogates), which no terminal can write.
STEERING = re.compile("[\\x00-\\x08\\x0b-\\x1f\\x7f-\\x9f\\u2028-\\u202e\\u2066-\\u2069\\ud800-\\udfff]")
PICTURES = 0x2400  # the Unicode block with pictures of the control characters


def harmless(text: str) -> str:
    """Replace each character that a terminal would obey instead of show.

    Everything that prints texts from the warehouse, files or endpoints uses this, since others wrote them.
    """
    return STEERING.sub(_sign, text)


def _sign(steering: re.Match[str]) -> str:
    code = ord(steering[0])
    return chr(PICTURES + code) if code < ord(" ") else "\N{REPLACEMENT CHARACTER}"


class _Harmless(RenderHook):
    """Lets only rich's own codes reach the terminal."""

    def process_renderables(self, renderables: list[ConsoleRenderable]) -> list[ConsoleRenderable]:
        return [_Shown(renderable) for renderable in renderables]


class _Shown:
    def __init__(self, renderable: ConsoleRenderable) -> None:
        self.renderable = renderable

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for segment in console.render(self.renderable, options):
            yield segment if segment.control else Segment(harmless(segment.text), segment.style)


def terminal(*, stderr: bool = False, file: IO[str] | None = None, width: int | None = None) -> Console:
    """Return a console on which texts are not markup and cannot control the terminal."""
    console = Console(stderr=stderr, file=file, width=width, markup=False, emoji=False)
    console.push_render_hook(_Harmless())
    return console


out = terminal()
errors = terminal(stderr=True)
"""The console for activity and progress; there is only one, so that a bar can be inside another display."""


@contextmanager
def plain_output() -> Iterator[Writable]:
    """Yield standard output for plain rows: UTF-8 for a pipe or a file, harmless text for a terminal."""
    if sys.stdout.isatty():
        yield _Screen()
        return
    sys.stdout.flush()
    file = TextIOWrapper(sys.stdout.buffer, encoding="utf-8", newline="")
    try:
        yield file
        file.flush()
    finally:
        file.detach()


class _Screen:
    def write(self, text: str) -> None:
        sys.stdout.write(harmless(text))


def forgiving_streams() -> None:
    """Write characters that the terminal's encoding lacks as codes, instead of failing."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


class Chosen:
    """The options before the command, and the settings; the callback of `odds` sets them once per run."""

    config: Path | None = None
    verbose: bool = False
    settings: Settings | None = None


def settings() -> Settings:
    """Return the settings of the chosen file, which is read once."""
    if Chosen.settings is None:
        Chosen.settings = load_settings(Chosen.config)
    return Chosen.settings


def say(line: object) -> None:
    """Print a line, which a terminal wraps and a file keeps whole."""
    out.print(line, highlight=False, soft_wrap=True)


def print_parts(parts: Sequence[Table | str]) -> None:
    """Print tables and lines one below the other."""
    for part in parts:
        out.print(part, highlight=False, soft_wrap=isinstance(part, str))


def note(text: str) -> None:
    """Print a line about what is going on, on standard error."""
    print(f"  {harmless(text)}", file=sys.stderr, flush=True)


def quiet_prefect() -> None:
    """Set Prefect's defaults for a terminal; the environment overrides them."""
    os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
    os.environ.setdefault("DO_NOT_TRACK", "1")  # read by its client, whose first import prints a notice otherwise
    if not Chosen.verbose:  # its server still gets the log
        os.environ.setdefault("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "CRITICAL")
        os.environ.setdefault("PREFECT_LOGGING_ROOT_LEVEL", "CRITICAL")


def money(value: float | None) -> str:
    """Format a cost: cents if it is large, three digits if it is small, nothing if unknown."""
    if value is None:
        return ""
    if value >= 1:
        return f"{value:,.2f}"
    if value == 0 or value >= 1e-4:
        return f"{value:.3g}"
    return f"{value:.{1 - floor(log10(value))}f}"

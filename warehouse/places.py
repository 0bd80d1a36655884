"""Where the folders of datasets and models lie: rows name them relative to the home, so that a home can be moved."""

from __future__ import annotations

from pathlib import Path

_KINDS = ("datasets", "models")


def named(path: Path, home: Path) -> str:
    """How a row names a folder: relative to the home, with slashes; a folder elsewhere by its whole path."""
    return path.relative_to(home).as_posix() if path.is_relative_to(home) else str(path)


def placed(path: str, home: Path | None) -> Path:
    """The folder that a row names.

    Earlier versions wrote whole paths. One that is gone is looked for in the home, in case it was moved.
    """
    whole = Path(path)
    if home is None or (whole.is_absolute() and whole.exists()):
        return whole
    if not whole.is_absolute():
        return home / whole
    for place in range(len(whole.parts) - 1, 0, -1):
        if whole.parts[place] in _KINDS and (moved := home.joinpath(*whole.parts[place:])).exists():
            return moved
    return whole

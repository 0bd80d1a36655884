"""Paths of datasets and models. Rows store them relative to the home folder, so that it can be moved."""

from __future__ import annotations

from pathlib import Path

_KINDS = ("datasets", "models")


def named(path: Path, home: Path) -> str:
    """Return the path to store for a folder: relative to the home, with slashes, or absolute if it is elsewhere."""
    return path.relative_to(home).as_posix() if path.is_relative_to(home) else str(path)


def placed(path: str, home: Path | None) -> Path:
    """Return the folder of a stored path.

    Earlier versions stored absolute paths. If such a folder is gone, look for it in the home, which may have been
    moved.
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

"""The settings file to start from."""

from __future__ import annotations

from contextlib import suppress
from importlib.resources import files
from pathlib import Path

from flows.settings.settings import CONFIG_NAME
from warehouse.atomic import write_atomically
from warehouse.errors import InputError


def template_text() -> str:
    """Return the settings file with every default explained."""
    return (files("flows.settings") / "template.toml").read_text(encoding="utf-8")


def init(folder: Path | str = ".") -> Path:
    """Write a settings file with every default explained into `folder`, which is created if needed.

    Returns:
        The path of the file.

    Raises:
        InputError: there is one already, or it cannot be written; then nothing is left behind.
    """
    folder = Path(folder)
    path = folder / CONFIG_NAME
    new = [each for each in (folder, *folder.parents) if not each.exists()]
    if path.exists():
        raise InputError(f"{path} exists already; edit it, or name another folder")
    try:
        write_atomically(path, template_text())
    except InputError:
        for each in new:
            with suppress(OSError):
                each.rmdir()
        raise
    return path

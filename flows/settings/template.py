"""The settings file to start from."""

from __future__ import annotations

import os
from contextlib import suppress
from importlib.resources import files
from pathlib import Path

from flows.settings.settings import CONFIG_NAME
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
    partial = folder / f".{CONFIG_NAME}.partial-{os.getpid()}"
    new = [each for each in (folder, *folder.parents) if not each.exists()]
    if path.exists():
        raise InputError(f"{path} exists already; edit it, or name another folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with partial.open("x", encoding="utf-8") as file:
            file.write(template_text())
            file.flush()
            os.fsync(file.fileno())
        partial.rename(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        for each in new:
            with suppress(OSError):
                each.rmdir()
        raise InputError(f"{path} cannot be written: {error.strerror}") from error
    return path

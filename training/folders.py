"""Folders and files that appear whole or not at all."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from warehouse.errors import InputError


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """A temporary folder beside `path` that becomes `path` when the block ends, and vanishes when it fails.

    Raises InputError where `path` already exists, at the start or when another process was faster.
    """
    _refuse(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{path.name}-", dir=path.parent, ignore_cleanup_errors=True) as scratch:
        folder = Path(scratch) / path.name
        folder.mkdir()
        yield folder
        _refuse(path)
        os.rename(folder, path)


def write_whole(path: Path, text: str) -> None:
    """Write a text file (UTF-8) so that a reader sees the old one or the new one, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, scratch = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(scratch, 0o644)
        os.replace(scratch, path)
    except BaseException:
        os.unlink(scratch)
        raise


def empty_folder(path: Path) -> None:
    """Make `path` an empty folder, whatever it held."""
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(parents=True)


def _refuse(path: Path) -> None:
    if path.exists():
        raise InputError(f"{path} already exists; choose another place or remove it")

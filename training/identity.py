"""Hashes that tell whether a model, or the code that fits it, is still the same. Imports nothing heavy."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import cache
from pathlib import Path

_MIB = 2**20
_PART = 2**14
SEEN = "premises.parquet"
"""The file of an estimator with the premises that it learned from."""


def base_name(base: str) -> str:
    """Return the name of a base: on the Hub, or of its file or folder, or of the one around a folder called `model`."""
    path = Path(base)
    if not path.exists():
        return base
    return path.parent.name if path.name == "model" else path.name


def base_hash(base: Path) -> str:
    """Return a hash of the names, sizes, first and last MiB of the files of a base (hexadecimal SHA-256).

    It tells whether two bases are the same model without reading gigabytes. What is told about an estimator, its card
    and the premises that it learned from, may change.
    """
    return _hash(base, lambda size: [(0, _MIB), (size - _MIB, _MIB)])


def model_hash(base: Path) -> str:
    """Return a hash as `base_hash` does, which also reads a part of each MiB between.

    Two estimators may differ in the middle alone: those of which only the upper layers were fitted do, once they are
    merged, since a file has its layers in the order of their names. `base_hash` stays, as saved estimators have it.
    """
    return _hash(base, lambda size: [(0, _MIB), *((at, _PART) for at in range(_MIB, size, _MIB)), (size - _MIB, _MIB)])


def _hash(base: Path, parts: Callable[[int], list[tuple[int, int]]]) -> str:
    """Return a hash of the names and sizes of the files of a base, and of parts of each, by their start and length."""
    digest = hashlib.sha256()
    root = base if base.is_dir() else base.parent
    left_out = {base / "README.md", base / SEEN} if (base / "estimator.json").is_file() else set()
    for path in sorted(each for each in base.rglob("*") if each.is_file()) if base.is_dir() else [base]:
        if path in left_out:
            continue
        size = path.stat().st_size
        digest.update(f"{path.relative_to(root)}:{size}:".encode())
        with path.open("rb") as file:
            for at, length in parts(size):
                file.seek(max(at, 0))
                digest.update(file.read(length))
    return digest.hexdigest()


@cache
def code_hash() -> str:
    """Return a hash of the code that fits an estimator (hexadecimal SHA-256): this package without evaluation."""
    here = Path(__file__).parent
    digest = hashlib.sha256()
    for path in sorted(here.rglob("*.py")):
        if "evaluation" not in path.relative_to(here).parts:
            digest.update(f"{path.relative_to(here)}:".encode() + path.read_bytes())
    return digest.hexdigest()

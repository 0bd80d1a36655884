"""The record of a fit: the file `training.json`, which is written last."""

from __future__ import annotations

import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from training.identity import base_name
from training.settings import FitSettings
from warehouse.errors import InputError
from warehouse.records import Drop

SUMMARY = "training.json"
UNFINISHED = ".fit"
"""The end of the name of a fit's workplace."""


class FitRecord(BaseModel):
    """The result of a fit. The file has more, such as the loss of each step."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    dev_loss: float
    constant_loss: float | None = None
    base_loss: float | None = None
    steps: int = Field(ge=1)
    duration_s: float = Field(ge=0)
    drops: tuple[Drop, ...] = ()


def workplace_of(folder: Path) -> Path:
    """Return where a fit of the estimator in a folder keeps what it needs to go on."""
    return folder.with_name(f"{folder.name}{UNFINISHED}")


def read_record(folder: Path) -> FitRecord:
    """Return the record of the estimator in a folder. Raises `InputError` if there is none, or it cannot be read."""
    path = folder / SUMMARY
    try:
        return FitRecord.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise InputError(
            f"{folder} has no complete estimator: {SUMMARY} cannot be read; move the folder away and run odds train"
        ) from error


def summary_of(fitted: dict[str, Any], settings: FitSettings, told: dict[str, int]) -> str:
    """Return the text of `training.json`, whose existence means that the folder is complete."""
    summary = {
        **{key: value for key, value in fitted.items() if key not in ("path", "drops")},
        "drops": [drop.model_dump(mode="json") for drop in fitted["drops"]],
        "settings": _portable(settings),
        **told,
        "versions": {name: version(name) for name in ("torch", "transformers", "peft", "accelerate")},
    }
    return json.dumps(summary, indent=2) + "\n"


def _portable(settings: FitSettings) -> dict[str, Any]:
    """Return settings with the names of the base and the teacher, and no path of this machine."""
    return settings.model_dump() | {
        "base": base_name(settings.base),
        "teacher": settings.teacher and base_name(settings.teacher),
    }

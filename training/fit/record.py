"""What a fit wrote down about itself: the file `training.json`, the last one that it writes into its folder."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from warehouse.errors import InputError
from warehouse.records import Drop

SUMMARY = "training.json"


class FitRecord(BaseModel):
    """The outcome of a fit; the file says more, such as each step's loss, which is left out here."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    dev_loss: float
    steps: int = Field(ge=1)
    duration_s: float = Field(ge=0)
    drops: tuple[Drop, ...] = ()


def read_record(folder: Path) -> FitRecord:
    """The record of the estimator in a folder. Raises InputError where there is none, or it cannot be read."""
    path = folder / SUMMARY
    try:
        return FitRecord.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise InputError(
            f"{folder} holds no whole estimator: its {SUMMARY} cannot be read; move the folder away and run odds train"
        ) from error

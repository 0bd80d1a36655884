"""What an estimator learned on dev after its fit: a monotone map of its scores, and the width of its intervals."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from training.levels import Floats
from training.settings import IntervalOf
from warehouse.errors import InputError

CALIBRATION = "calibration.json"
TOLD: dict[IntervalOf, str] = {"judgment": "a single judgment", "consensus": "the consensus mean"}
MAPS = {"isotonic": "isotonic regression", "beta": "beta calibration"}
_CLIP = 1e-6  # of scores, for their logarithm
Width = Annotated[float, Field(ge=0)]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Isotonic(_Frozen):
    """A non-decreasing map: linear between its corners, constant outside them."""

    kind: Literal["isotonic"] = "isotonic"
    scores: tuple[float, ...]
    probabilities: tuple[float, ...]

    def mapped(self, scores: Floats) -> Floats:
        """Return the recalibrated scores."""
        return np.interp(scores, self.scores, self.probabilities)


class Beta(_Frozen):
    """Beta calibration (Kull, Silva Filho and Flach 2017): 1 / (1 + exp(-(a ln s - b ln(1 - s) + c))), a, b >= 0."""

    kind: Literal["beta"] = "beta"
    a: Annotated[float, Field(ge=0)]
    b: Annotated[float, Field(ge=0)]
    c: float

    def mapped(self, scores: Floats) -> Floats:
        """Return the recalibrated scores."""
        log_odds: Floats = log_odds_parts(scores) @ np.array([self.a, self.b]) + self.c
        return logistic(log_odds)


class Calibration(_Frozen):
    """What was fitted on the propositions of dev that people judged; `calibration.json` in the estimator's folder.

    Attributes:
        map: The map from scores to recalibrated ones; None if they stay as they are.
        coverage: The share of truths that an interval should hold.
        interval_of: The truth that intervals are of, unless another one is named.
        widths: For each kind of truth, the half width of an interval in SDs of the level distribution.
        n_propositions: How many propositions it was fitted on.
        n_judgments: How many judgments these have.
        n_simulated: How many of them are simulated.
        mse: The mean squared error of the scores against the consensus means.
        mapped_mse: That of the recalibrated scores, each by a map fitted on other premises; None without a map.
    """

    map: Annotated[Isotonic | Beta, Field(discriminator="kind")] | None = None
    coverage: Annotated[float, Field(gt=0, lt=1)]
    interval_of: IntervalOf
    widths: dict[IntervalOf, Width]
    n_propositions: int
    n_judgments: int
    n_simulated: int
    mse: float
    mapped_mse: float | None = None

    def mapped(self, scores: Floats) -> Floats:
        """Return the recalibrated scores [n]; the same ones without a map."""
        return scores if self.map is None else self.map.mapped(scores)

    def interval(self, scores: Floats, sd: Floats, of: IntervalOf | None = None) -> tuple[Floats, Floats]:
        """Return the lower and upper ends [n] of the intervals of a truth: score - q sd and score + q sd, in [0, 1].

        Args:
            scores: The scores [n], recalibrated.
            sd: The SDs [n] of the level distributions.
            of: The truth; by default that of `interval_of`.
        """
        half = self.widths[of or self.interval_of] * sd
        return np.clip(scores - half, 0.0, 1.0), np.clip(scores + half, 0.0, 1.0)

    @property
    def map_name(self) -> str:
        """What the map is called; empty without one."""
        return "" if self.map is None else MAPS[self.map.kind]

    @property
    def told(self) -> str:
        """What the intervals are, as a phrase."""
        return f"{self.coverage:.0%} intervals of {TOLD[self.interval_of]}"


def logistic(log_odds: Floats) -> Floats:
    """Return 1 / (1 + exp(-x)) without overflow."""
    result: Floats = np.exp(-np.logaddexp(0.0, -log_odds))
    return result


def log_odds_parts(scores: Floats) -> Any:
    """Return ln s and -ln(1 - s) of scores [n], as columns [n, 2]; their sum is the log odds."""
    inside = np.clip(scores, _CLIP, 1 - _CLIP)
    return np.column_stack([np.log(inside), -np.log1p(-inside)])


def read_calibration(folder: Path) -> Calibration | None:
    """Return the calibration of the estimator in a folder, or None. Raises `InputError` if it is corrupt."""
    path = folder / CALIBRATION
    try:
        return Calibration.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as error:
        raise InputError(f"{path}: cannot be read; delete it to score without intervals") from error


def write_calibration(calibration: Calibration | None, folder: Path) -> None:
    """Write a calibration, if there is one, into the folder of an estimator."""
    if calibration is not None:
        text = calibration.model_dump_json(indent=2, exclude_none=True)
        (folder / CALIBRATION).write_text(text + "\n", encoding="utf-8")

"""What a report shows, as plain values."""

from __future__ import annotations

from pydantic import AwareDatetime, BaseModel, ConfigDict

from training.evaluation.pictures import Measurement
from training.model.calibration import Calibration
from warehouse.records import Agreement, Count, Difference, Evaluation, Family, Probability, Text
from warehouse.shards import Licence


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class StageCount(_Part):
    """How many rows a stage of the pipeline has, with a remark such as what was left out and why."""

    name: Text
    count: Count
    remark: str = ""


class ConsensusSpread(_Part):
    """The consensus mean of a proposition and the SD of its judgments (None for a single judgment)."""

    mean: Probability
    sd: float | None


class LabelerAnswers(_Part):
    """A labeler's probabilities, and how many of its replies had none. It is a language model or an estimator."""

    name: Text
    probabilities: list[Probability]
    without: Count = 0
    is_estimator: bool = False


class ScoredProposition(_Part):
    """A test proposition: its score, level distribution and the middle 80% of it; its consensus and judgments.

    `kind` is how the judgments differ, as `odds disagreement` classifies it; None for fewer than five.
    """

    premise: Text
    hypothesis: Text
    score: Probability
    levels: list[float]
    low: Probability
    high: Probability
    mean: Probability
    judgments: list[Probability]
    panel_mean: Probability | None = None
    kind: str | None = None


class Slice(_Part):
    """A slice of the test propositions, and the range of what it is a bin of."""

    name: Text
    low: float | None = None
    high: float | None = None


class Spent(_Part):
    """What something took, in time and money, such as 1,204 calls and 3 min; empty where it is unknown."""

    name: Text
    amount: Text
    time: str = ""
    cost: str = ""


class CurvePoint(_Part):
    """The training loss at a step, and the dev loss at the end of an epoch (both KL in nats)."""

    step: Count
    loss: float
    dev_loss: float | None = None


class SuiteFigures(_Part):
    """The figures of all items of a suite, of everyone who was measured on it, and their differences.

    `n_seen` of the items that the estimator was measured on are marked as seen in training.
    """

    name: Text
    family: Family
    n_items: Count
    n_seen: Count = 0
    evaluations: list[Evaluation]
    differences: list[Difference] = []


class ReportData(_Part):
    """Everything that a report shows, as plain values. `provenance` has pairs of a name and a value.

    `sources` are those of the premises of the training set, with their licences. `calibration` is what the estimator
    learned on dev after its fit. `learns_levels`: its fit began from a language model, which had no level tokens.
    """

    title: Text
    created_at: AwareDatetime
    n_judgments: Count
    n_simulated: Count
    n_annotators: Count
    n_simulated_annotators: Count
    stages: list[StageCount]
    agreement: list[Agreement]
    consensus: list[ConsensusSpread]
    judgments: list[Probability]
    measured: list[Measurement] = []
    weeks: list[Measurement] = []
    labelers: list[LabelerAnswers]
    curve: list[CurvePoint]
    learns_levels: bool = False
    calibration: Calibration | None = None
    evaluations: list[Evaluation]
    differences: list[Difference] = []
    test: list[ScoredProposition]
    slices: list[Slice] = []
    suites: list[SuiteFigures] = []
    spent: list[Spent] = []
    sources: list[Licence] = []
    provenance: list[tuple[str, str]]

"""What is computed from judgments and estimates: agreement, consensus, recalibration."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import AwareDatetime, Field

from warehouse.records.base import Count, Probability, Record, Share, Text, now

ConsensusMethod = Literal["mean", "median", "trimmed", "em"]
FitMode = Literal["full", "incremental", "mean"]


class Agreement(Record):
    """One agreement figure over a selection of judgments, with a 95% interval where one is defined."""

    table: ClassVar[str] = "agreement"
    key: ClassVar[str] = "agreement_id"
    volatile: ClassVar[frozenset[str]] = frozenset({"created_at", "snapshot_id"})

    agreement_id: Text
    metric: Text
    scope: Text
    slice: Text
    value: float | None
    low: float | None = None
    high: float | None = None
    n_propositions: Count
    n_annotators: Count
    n_judgments: Count
    n_simulated: Count
    fingerprint: Text
    snapshot_id: int
    created_at: AwareDatetime = Field(default_factory=now)


class Consensus(Record):
    """The aggregate of one proposition: mean, SD, and the values and weights behind them.

    `values` holds `n_judgments` judgments, followed by `n_estimates` recalibrated estimates; `widths` has the width of
    the interval that each stands for, 0 for a point, and `sources` where it is from, if it stands for an interval.
    """

    table: ClassVar[str] = "consensus"
    key: ClassVar[str] = "consensus_id"
    volatile: ClassVar[frozenset[str]] = frozenset({"created_at", "snapshot_id"})

    consensus_id: Text
    proposition_id: Text
    method: ConsensusMethod
    mean: Probability
    sd: Annotated[float, Field(ge=0)] | None
    values: list[Probability]
    weights: list[Share]
    n_judgments: Count
    n_estimates: Count = 0
    n_simulated: Count = 0
    snapshot_id: int
    created_at: AwareDatetime = Field(default_factory=now)
    fingerprint: str | None = None
    widths: list[Share] | None = None
    sources: list[str] | None = None


class ConsensusFit(Record):
    """One run of the random-effects consensus.

    `mode` is `full` (all propositions), `incremental` (only those with new judgments) or `mean` (the plain mean, used
    where annotators overlap too little to estimate their precision).
    """

    table: ClassVar[str] = "consensus_fits"
    key: ClassVar[str] = "fit_id"

    fit_id: Text
    method: Literal["em"] = "em"
    mode: FitMode
    mu: float
    tau: Annotated[float, Field(ge=0)]
    iterations: Count
    n_recomputed: Count
    n_propositions: Count
    n_annotators: Count
    n_judgments: Count
    n_simulated: Count
    largest_move: float | None
    settings: Text
    snapshot_id: int
    created_at: AwareDatetime = Field(default_factory=now)


class AnnotatorPrecision(Record):
    """How far an annotator's judgments lie from the consensus, as estimated by the random-effects fit."""

    table: ClassVar[str] = "annotator_precisions"
    key: ClassVar[str] = "annotator_id"
    volatile: ClassVar[frozenset[str]] = frozenset({"created_at", "snapshot_id"})

    annotator_id: Text
    sd: Annotated[float, Field(ge=0)]
    sd_of_full_fit: Annotated[float, Field(ge=0)]
    n_judgments: Count
    snapshot_id: int
    created_at: AwareDatetime = Field(default_factory=now)


class Recalibration(Record):
    """A monotone piecewise-linear map from a labeler's estimates to human consensus, given by its knots."""

    table: ClassVar[str] = "recalibrations"
    key: ClassVar[str] = "recalibration_id"
    volatile: ClassVar[frozenset[str]] = frozenset({"created_at", "snapshot_id"})

    recalibration_id: Text
    labeler: Text
    labeler_version: Text
    estimates: list[Probability]
    probabilities: list[Probability]
    n_propositions: Count
    n_judgments: Count
    n_simulated: Count
    fingerprint: Text
    snapshot_id: int
    created_at: AwareDatetime = Field(default_factory=now)

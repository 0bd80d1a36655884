"""Published training sets, the models trained on them, and their scores."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import AwareDatetime, Field

from warehouse.records.base import Count, Probability, Record, Split, Text, now


class PremiseGroup(Record):
    """A premise that must share a split with others, or whose split a file states."""

    table: ClassVar[str] = "premise_groups"
    key: ClassVar[str] = "premise_id"

    premise_id: Text
    group_id: Text
    reason: Literal["near-duplicate", "derived", "choice", "both", "several", "stated"]
    split: Split
    created_at: AwareDatetime = Field(default_factory=now)


class Dataset(Record):
    """A published training set, whose manifest is written last. `path` is relative to the home folder if inside it."""

    table: ClassVar[str] = "datasets"
    key: ClassVar[str] = "dataset_id"

    dataset_id: Text
    name: Text
    version: Annotated[int, Field(ge=1)]
    snapshot_id: int
    path: Text
    n_train: Count
    n_dev: Count
    n_test: Count
    n_judgments: Count
    n_simulated: Count
    code_version: Text
    created_at: AwareDatetime = Field(default_factory=now)
    n_human: Count | None = None
    n_synthetic: Count | None = None
    n_pairs: Count | None = None


class Shard(Record):
    """One parquet file of a published training set."""

    table: ClassVar[str] = "shards"
    key: ClassVar[str] = "shard_id"

    shard_id: Text
    dataset_id: Text
    split: Split
    path: Text
    rows: Count
    bytes: Count
    sha256: Text
    created_at: AwareDatetime = Field(default_factory=now)
    part: Literal["propositions", "pairs"] | None = None
    first_premise_id: str | None = None
    last_premise_id: str | None = None


class Model(Record):
    """One training run and the folder of its weights. `path` is relative to the home folder if inside it.

    One with an `ablation` is in use only if a person chose it.
    """

    table: ClassVar[str] = "models"
    key: ClassVar[str] = "model_id"

    model_id: Text
    name: Text
    dataset_id: Text
    base_model: Text
    settings: Text
    code_version: Text
    path: Text
    dev_loss: float | None
    steps: Count
    duration_s: Annotated[float, Field(ge=0)]
    created_at: AwareDatetime = Field(default_factory=now)
    promoted_at: AwareDatetime | None = None
    deleted_at: AwareDatetime | None = None
    ablation: str | None = None


class Score(Record):
    """An estimator's output for one proposition, with the full distribution over levels."""

    table: ClassVar[str] = "scores"
    key: ClassVar[str] = "score_id"

    score_id: Text
    model_id: Text
    proposition_id: Text
    score: Probability
    level_probabilities: list[Probability]
    created_at: AwareDatetime = Field(default_factory=now)

"""The records that travel between the rooms: one class a table, one field a column.

All probabilities are floats in [0, 1] and all times are timezone-aware. Ids are content hashes, so that doing a
thing twice gives the same id and the same row. What a column means, with its unit, stands in the comments of
`migrations/`; a test holds that the fields here and the columns there are the same.
"""

from __future__ import annotations

import hashlib
import unicodedata
from datetime import UTC, datetime
from typing import Annotated, ClassVar, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, model_validator

Probability = Annotated[float, Field(ge=0.0, le=1.0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0.0, le=1.0, allow_inf_nan=False)]
Text = Annotated[str, Field(min_length=1)]
Count = Annotated[int, Field(ge=0)]

Split = Literal["train", "dev", "test"]
PropositionKind = Literal[
    "proposed",
    "imported",
    "negation",
    "paraphrase",
    "strengthened",
    "weakened",
    "conjunction",
    "rewritten",
]
AnnotatorKind = Literal["human", "simulated", "imported"]
RequestStatus = Literal["answered", "refused", "failed"]
Method = Literal["verbalised", "scale20", "token", "mean_of_samples", "pairwise"]
ConsensusMethod = Literal["mean", "median", "trimmed", "em"]
FitMode = Literal["full", "incremental", "mean"]
JudgeMode = Literal["confidence", "keep_drop"]


def normalise(text: str) -> str:
    """The text with Unicode NFC and single spaces: what an id is computed from. Case is kept."""
    return " ".join(unicodedata.normalize("NFC", text).split())


def content_id(*parts: str) -> str:
    """A 24-digit hexadecimal id of the parts in their order (BLAKE2b, 96 bits); "ab", "c" and "a", "bc" differ."""
    data = b""
    for part in parts:
        encoded = part.encode()
        data += len(encoded).to_bytes(8, "big") + encoded
    return hashlib.blake2b(data, digest_size=12).hexdigest()


def premise_id(text: str) -> str:
    """The id of a premise, from its normalised text."""
    return content_id("premise", normalise(text))


def proposition_id(premise: str, hypothesis: str) -> str:
    """The id of a proposition, from its normalised premise and hypothesis."""
    return content_id("proposition", normalise(premise), normalise(hypothesis))


def labeler_id(labeler: str, labeler_version: str) -> str:
    """The id of a version of a labeler, from its name and its version."""
    return content_id("labeler version", labeler, labeler_version)


def annotator_id(source: str, source_id: str) -> str:
    """The id of an annotator, from the source and the id that the annotator has there."""
    return content_id("annotator", source, source_id)


def judgment_id(source: str, source_id: str) -> str:
    """The id of a judgment, from the source and the id that the judgment has there."""
    return content_id("judgment", source, source_id)


def split_of(premise: str, train: float = 0.7, dev: float = 0.1) -> Split:
    """The split of every proposition of a premise, given the premise's id.

    It depends on the id alone, so that a premise never moves and never stands in two splits. `train` and `dev` are
    shares in [0, 1]; the rest is test.
    """
    position = int(content_id("split", premise)[:12], 16) / 16**12
    if position < train:
        return "train"
    return "dev" if position < train + dev else "test"


def now() -> datetime:
    """The present moment in UTC."""
    return datetime.now(UTC)


class Record(BaseModel):
    """A row. `table` and `key` say where it goes; `volatile` names the fields whose change alone is no change.

    `kept` names the fields that a row without them leaves as they are: another source knows them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    table: ClassVar[str]
    key: ClassVar[str]
    volatile: ClassVar[frozenset[str]] = frozenset({"created_at"})
    kept: ClassVar[frozenset[str]] = frozenset()


class Premise(Record):
    """A text taken as true."""

    table: ClassVar[str] = "premises"
    key: ClassVar[str] = "premise_id"

    premise_id: Text
    text: Text
    source: Text
    license: str | None = None
    language: str = "en"
    created_at: AwareDatetime = Field(default_factory=now)


class Proposition(Record):
    """A premise with a hypothesis. `target_probability` is what a proposer was asked for or an import names.

    `parent_id` is the proposition that it was made from; a conjunction has its second part in `other_parent_id`.
    """

    table: ClassVar[str] = "propositions"
    key: ClassVar[str] = "proposition_id"

    proposition_id: Text
    premise_id: Text
    hypothesis: Text
    kind: PropositionKind
    source: Text
    split: Split
    parent_id: str | None = None
    target_probability: Probability | None = None
    request_id: str | None = None
    created_at: AwareDatetime = Field(default_factory=now)
    other_parent_id: str | None = None


class PropositionText(Record):
    """A proposition with both of its texts: what a labeler, an annotator and an estimator are shown. No table."""

    proposition_id: Text
    premise: Text
    hypothesis: Text


class PremiseToPropose(Record):
    """A premise to write hypotheses for; `known` are the hypotheses that it has, by proposition id. No table.

    `written_by` is the request that wrote each of them, by proposition id; others were not written by one. `split` is
    the split that the premise has already; None where it has no proposition.
    """

    premise: Premise
    known: dict[str, str] = {}
    written_by: dict[str, str] = {}
    split: Split | None = None


class Parent(Record):
    """A proposition to make others from; `other` is the second part of a conjunction, of the same premise. No table.

    `known` are the hypotheses of its premise, by proposition id; `written_by` is the request that wrote each of them,
    and each proposition on another premise that was made from one of them. The parents of a premise share both.
    """

    proposition_id: Text
    premise: Premise
    hypothesis: Text
    split: Split
    other: PropositionText | None = None
    known: dict[str, str] = {}
    written_by: dict[str, str] = {}


class Pair(Record):
    """Two propositions to compare; the id of the first is the smaller one. No table."""

    first: PropositionText
    second: PropositionText


class PanelAnswer(Record):
    """What one labeler of a panel said of a proposition. No table."""

    estimate_id: Text
    labeler: Text
    probability: Probability
    reasoning: str | None = None


class Disagreement(Record):
    """A proposition whose panel disagrees, with the newest answer of each labeler. No table."""

    proposition: PropositionText
    answers: list[PanelAnswer]


class Request(Record):
    """One LLM call and what became of it. `reply` is the text as it came; it is never a secret's place."""

    table: ClassVar[str] = "requests"
    key: ClassVar[str] = "request_id"
    volatile: ClassVar[frozenset[str]] = frozenset({"created_at", "cached", "latency_s", "cost"})

    request_id: Text
    purpose: Literal["propose", "elicit", "judge"]
    subject_id: Text
    labeler: Text
    endpoint: Text
    model: Text
    prompt: Text
    prompt_version: Text
    parameters: Text
    status: RequestStatus
    reason: str | None = None
    reply: str | None = None
    tokens_in: Count | None = None
    tokens_out: Count | None = None
    cost: Annotated[float, Field(ge=0)] | None = None
    latency_s: Annotated[float, Field(ge=0)] | None = None
    cached: bool = False
    created_at: AwareDatetime = Field(default_factory=now)
    call_key: str | None = None
    asker_version: str | None = None

    @model_validator(mode="after")
    def _reason_where_needed(self) -> Request:
        if (self.status == "answered") == (self.reason is not None):
            raise ValueError("a request has a reason exactly where it was not answered")
        return self


class LabelerVersion(Record):
    """What a version of a labeler stands for, and whether it is in use: whether the settings have it."""

    table: ClassVar[str] = "labelers"
    key: ClassVar[str] = "labeler_id"
    volatile: ClassVar[frozenset[str]] = frozenset({"created_at", "changed_at"})

    labeler_id: Text
    labeler: Text
    labeler_version: Text
    endpoint: Text
    model: Text
    prompt: Text
    prompt_version: Text
    method: Method
    parameters: str | None = None
    in_use: bool
    changed_at: AwareDatetime = Field(default_factory=now)
    created_at: AwareDatetime = Field(default_factory=now)


class Estimate(Record):
    """One labeler's probability for one proposition, or the reason why there is none."""

    table: ClassVar[str] = "estimates"
    key: ClassVar[str] = "estimate_id"

    estimate_id: Text
    proposition_id: Text
    labeler: Text
    labeler_version: Text
    method: Method
    probability: Probability | None
    reason: str | None = None
    reasoning: str | None = None
    request_id: str | None = None
    created_at: AwareDatetime = Field(default_factory=now)

    @model_validator(mode="after")
    def _probability_or_reason(self) -> Estimate:
        if (self.probability is None) != (self.reason is not None):
            raise ValueError("an estimate has a reason exactly where it has no probability")
        return self


class Verdict(Record):
    """A judge's confidence in one estimate of a panel that disagrees, or the reason why there is none.

    `keep_drop` gives 1 for an estimate that is kept and 0 for one that is dropped.
    """

    table: ClassVar[str] = "verdicts"
    key: ClassVar[str] = "verdict_id"

    verdict_id: Text
    proposition_id: Text
    estimate_id: Text
    judge: Text
    judge_version: Text
    mode: JudgeMode
    confidence: Share | None
    reason: str | None = None
    summary: str | None = None
    request_id: str | None = None
    created_at: AwareDatetime = Field(default_factory=now)

    @model_validator(mode="after")
    def _confidence_or_reason(self) -> Verdict:
        if (self.confidence is None) != (self.reason is not None):
            raise ValueError("a verdict has a reason exactly where it has no confidence")
        return self


class Comparison(Record):
    """Which of two propositions a labeler finds more likely, asked in both orders; kept only where both agree."""

    table: ClassVar[str] = "comparisons"
    key: ClassVar[str] = "comparison_id"

    comparison_id: Text
    first_id: Text
    second_id: Text
    labeler: Text
    labeler_version: Text
    more_likely_id: str | None
    reason: str | None = None
    request_id: str | None = None
    swapped_request_id: str | None = None
    created_at: AwareDatetime = Field(default_factory=now)

    @model_validator(mode="after")
    def _answer_or_reason(self) -> Comparison:
        if (self.more_likely_id is None) != (self.reason is not None):
            raise ValueError("a comparison has a reason exactly where neither proposition is the more likely one")
        return self


class Annotator(Record):
    """A judge. `kind` is never lost: whatever rests on a simulated one says so."""

    table: ClassVar[str] = "annotators"
    key: ClassVar[str] = "annotator_id"
    kept: ClassVar[frozenset[str]] = frozenset({"qualified_at", "reliability", "annotator_group"})

    annotator_id: Text
    kind: AnnotatorKind
    source: Text
    source_id: Text
    name: str | None = None
    status: Literal["active", "paused"] = "active"
    qualified_at: AwareDatetime | None = None
    reliability: float | None = None
    created_at: AwareDatetime = Field(default_factory=now)
    annotator_group: str | None = None


class Judgment(Record):
    """One annotator's probability for one proposition, or "cannot judge".

    `raw_probability` is where the slider stood, also where the annotator could not judge; only `probability` counts.
    `sequence` is its place in its source: of an annotator's judgments on one proposition the first counts.
    """

    table: ClassVar[str] = "judgments"
    key: ClassVar[str] = "judgment_id"
    volatile: ClassVar[frozenset[str]] = frozenset({"created_at", "sequence"})

    judgment_id: Text
    proposition_id: Text
    annotator_id: Text
    probability: Probability | None
    raw_probability: Probability | None = None
    cannot_judge: bool = False
    comment: str | None = None
    lead_time_s: Annotated[float, Field(ge=0)] | None = None
    source: Text
    source_id: Text
    sequence: Count | None = None
    status: str = "submitted"
    batch: str | None = None
    submitted_at: AwareDatetime | None = None
    updated_at: AwareDatetime | None = None
    deleted_at: AwareDatetime | None = None
    created_at: AwareDatetime = Field(default_factory=now)

    @model_validator(mode="after")
    def _probability_or_cannot_judge(self) -> Judgment:
        if (self.probability is None) != self.cannot_judge:
            raise ValueError("a judgment has a probability exactly where the annotator could judge")
        return self


class Task(Record):
    """A proposition's task in a Label Studio project."""

    table: ClassVar[str] = "tasks"
    key: ClassVar[str] = "task_id"

    task_id: Text
    proposition_id: Text
    project: Text
    source_id: Text
    created_at: AwareDatetime = Field(default_factory=now)


class StudioProject(Record):
    """A Label Studio project that propositions are pushed to; the one in use of a title is not retired."""

    table: ClassVar[str] = "studio_projects"
    key: ClassVar[str] = "project"

    project: Text
    number: Count
    url: Text
    title: Text
    retired_at: AwareDatetime | None = None
    created_at: AwareDatetime = Field(default_factory=now)


class StudioTask(Record):
    """An annotated task of Label Studio as a pull last read it."""

    table: ClassVar[str] = "studio_tasks"
    key: ClassVar[str] = "studio_task_id"

    studio_task_id: Text
    project: Text
    number: Count
    changed_at: AwareDatetime
    n_annotations: Count
    judgments: list[str]
    created_at: AwareDatetime = Field(default_factory=now)


class Check(Record):
    """A gold or attention item: a proposition whose probability is known to lie in [low, high]."""

    table: ClassVar[str] = "checks"
    key: ClassVar[str] = "check_id"

    check_id: Text
    proposition_id: Text
    low: Probability
    high: Probability
    purpose: Literal["qualification", "attention"]
    created_at: AwareDatetime = Field(default_factory=now)


class Drop(Record):
    """A row that was not taken over, with its reason: nothing disappears uncounted.

    `kept_id` is the row that stands in its place, such as the one that a near-duplicate is like.
    """

    table: ClassVar[str] = "drops"
    key: ClassVar[str] = "drop_id"

    drop_id: Text
    stage: Text
    subject_id: Text
    reason: Text
    detail: str | None = None
    created_at: AwareDatetime = Field(default_factory=now)
    kept_id: str | None = None


class Agreement(Record):
    """One figure of agreement over a selection of judgments, with its 95% interval where it has one."""

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
    """The aggregate of one proposition: its mean, its SD, the values and the weights it rests on.

    `values` are those of `n_judgments` judgments, then those of `n_estimates` recalibrated estimates.
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


class ConsensusFit(Record):
    """One fit of the random-effects consensus: the whole of it, or the propositions with new judgments alone.

    Or the mean in its place, where annotators overlap too little to be told apart.
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
    """How far an annotator's judgments lie from the consensus, as the random-effects fit estimates it."""

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
    """A map from a labeler's estimates to human consensus: corners of a line that never descends."""

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


class PremiseGroup(Record):
    """A premise that a split must not part from others: near-duplicates, or texts derived from one another."""

    table: ClassVar[str] = "premise_groups"
    key: ClassVar[str] = "premise_id"

    premise_id: Text
    group_id: Text
    reason: Literal["near-duplicate", "derived", "both"]
    split: Split
    created_at: AwareDatetime = Field(default_factory=now)


class Dataset(Record):
    """A published training set: the manifest of its shards is written last, so its existence means done."""

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
    """One training run and where its weights lie."""

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


class Score(Record):
    """An estimator's output for one proposition, with the whole level distribution it comes from."""

    table: ClassVar[str] = "scores"
    key: ClassVar[str] = "score_id"

    score_id: Text
    model_id: Text
    proposition_id: Text
    score: Probability
    level_probabilities: list[Probability]
    created_at: AwareDatetime = Field(default_factory=now)


class Evaluation(Record):
    """One figure of one suite for one subject: an estimator, a labeler, a baseline or one annotator."""

    table: ClassVar[str] = "evaluations"
    key: ClassVar[str] = "evaluation_id"

    evaluation_id: Text
    model_id: Text
    dataset_id: Text
    suite: Text
    subject: Text
    metric: Text
    value: float | None
    low: float | None = None
    high: float | None = None
    n: Count
    n_simulated: Count = 0
    created_at: AwareDatetime = Field(default_factory=now)


TABLES: tuple[type[Record], ...] = (
    Premise,
    Proposition,
    Request,
    LabelerVersion,
    Estimate,
    Verdict,
    Comparison,
    Annotator,
    Judgment,
    Task,
    StudioProject,
    StudioTask,
    Check,
    Drop,
    Agreement,
    Consensus,
    ConsensusFit,
    AnnotatorPrecision,
    Recalibration,
    PremiseGroup,
    Dataset,
    Shard,
    Model,
    Score,
    Evaluation,
)

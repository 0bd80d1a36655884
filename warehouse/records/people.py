"""Annotators, their judgments, and their tasks in Label Studio."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import AwareDatetime, Field, model_validator

from warehouse.records.base import Count, Probability, Record, Share, Text, now

LEAD_TIME_LIMIT_S = 24 * 3600.0
"""Nobody takes longer to judge: the page was left open."""

AnnotatorKind = Literal["human", "simulated", "imported", "aggregate", "anonymous"]
NOBODY: tuple[AnnotatorKind, ...] = ("aggregate", "anonymous")
"""Kinds that are no known person: one label for several people, and single responses of unknown people."""
Status = Literal["invited", "qualified", "active", "watched", "excluded"]
Interface = Literal["slider", "number", "unli"]
ProjectPurpose = Literal["study", "qualification"]
Purpose = Literal["judge", "check", "repeat", "practice", "qualification"]
CheckPurpose = Literal["practice", "qualification", "attention"]


class Annotator(Record):
    """Someone who judges. `kind` is kept everywhere, so that simulated results are marked as such.

    Names and e-mail addresses of people stay in Label Studio; `pseudonym` is what to call them.
    Of the kinds `aggregate` and `anonymous`, the annotator stands for the nth label or response on each proposition.
    """

    table: ClassVar[str] = "annotators"
    key: ClassVar[str] = "annotator_id"
    kept: ClassVar[frozenset[str]] = frozenset({"annotator_group"})

    annotator_id: Text
    kind: AnnotatorKind
    source: Text
    source_id: Text
    pseudonym: Text | None
    created_at: AwareDatetime = Field(default_factory=now)
    annotator_group: str | None = None


class AnnotatorStatus(Record):
    """What an annotator was from a time on, and why. The newest row holds."""

    table: ClassVar[str] = "annotator_statuses"
    key: ClassVar[str] = "status_id"

    status_id: Text
    annotator_id: Text
    status: Status
    reason: Text
    decided_by: Literal["person", "rule"]
    since: AwareDatetime
    created_at: AwareDatetime = Field(default_factory=now)


class Payment(Record):
    """What an annotator is owed for the judgments submitted in a period, as exported.

    `bonus_at` is when it was written to a file of bonuses; None if it never was.
    """

    table: ClassVar[str] = "payments"
    key: ClassVar[str] = "payment_id"
    kept: ClassVar[frozenset[str]] = frozenset({"bonus_at"})

    payment_id: Text
    annotator_id: Text
    period_start: AwareDatetime
    period_end: AwareDatetime
    n_judgments: Count
    n_checks_passed: Count
    n_checks: Count
    seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    amount: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    created_at: AwareDatetime = Field(default_factory=now)
    bonus_at: AwareDatetime | None = None


class Judgment(Record):
    """One annotator's probability for one proposition, or "cannot judge".

    Attributes:
        probability: The judgment; the only field that counts.
        raw_probability: What was entered, kept even where the annotator could not judge.
        width: The width of the interval around `probability` that an ordinal label stands for; None for a point.
        sequence: The position in its source. Of an annotator's repeats on one proposition, the first counts.
        interface: The page on which it was made, with the version and the scale of that page; None if unknown.
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
    width: Share | None = None
    interface: Interface | None = None
    interface_version: Text | None = None
    scale: Text | None = None

    @model_validator(mode="after")
    def _probability_or_cannot_judge(self) -> Judgment:
        if (self.probability is None) != self.cannot_judge:
            raise ValueError("a judgment needs a probability unless the annotator could not judge")
        return self


class Check(Record):
    """A gold or attention item: a proposition whose probability is known to lie in [low, high]."""

    table: ClassVar[str] = "checks"
    key: ClassVar[str] = "check_id"

    check_id: Text
    proposition_id: Text
    low: Probability
    high: Probability
    purpose: CheckPurpose
    created_at: AwareDatetime = Field(default_factory=now)


class Task(Record):
    """The task of a proposition in a Label Studio project."""

    table: ClassVar[str] = "tasks"
    key: ClassVar[str] = "task_id"

    task_id: Text
    proposition_id: Text
    project: Text
    source_id: Text
    created_at: AwareDatetime = Field(default_factory=now)
    purpose: Purpose | None = "judge"


class Selection(Record):
    """A proposition that was chosen for another judgment. It waits until it has more than `n_judgments`."""

    table: ClassVar[str] = "selections"
    key: ClassVar[str] = "selection_id"

    selection_id: Text
    proposition_id: Text
    rule: Text
    value: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    n_judgments: Count
    model_id: Text | None = None
    created_at: AwareDatetime = Field(default_factory=now)


class StudioProject(Record):
    """A Label Studio project that receives propositions. Of those with one title, only one is not retired.

    Attributes:
        read_at: When the last pull that read something, or saw the server's clock change, began; by our clock.
        clock_ahead_s: How many seconds the server's clock was ahead of ours then.
    """

    table: ClassVar[str] = "studio_projects"
    key: ClassVar[str] = "project"
    kept: ClassVar[frozenset[str]] = frozenset({"read_at", "clock_ahead_s"})

    project: Text
    number: Count
    url: Text
    title: Text
    retired_at: AwareDatetime | None = None
    created_at: AwareDatetime = Field(default_factory=now)
    purpose: ProjectPurpose | None = "study"
    interface: Interface | None = None
    interface_version: Text | None = None
    read_at: AwareDatetime | None = None
    clock_ahead_s: float | None = None


class StudioTask(Record):
    """An annotated Label Studio task, as last pulled."""

    table: ClassVar[str] = "studio_tasks"
    key: ClassVar[str] = "studio_task_id"

    studio_task_id: Text
    project: Text
    number: Count
    changed_at: AwareDatetime
    n_annotations: Count
    judgments: list[str]
    created_at: AwareDatetime = Field(default_factory=now)

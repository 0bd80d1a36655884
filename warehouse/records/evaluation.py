"""Evaluation sets, the figures of subjects on them, and how these differ."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import AwareDatetime, Field

from warehouse.records.base import Count, Probability, Record, Share, Text, now

Family = Literal["correlation", "update", "choice", "structure", "coherence"]


class Suite(Record):
    """An evaluation set: texts with labels that no estimator is trained on."""

    table: ClassVar[str] = "suites"
    key: ClassVar[str] = "suite_id"

    suite_id: Text
    name: Text
    family: Family
    file: Text
    license: str | None = None
    n_items: Count
    content: Text
    created_at: AwareDatetime = Field(default_factory=now)
    format: Text | None = None


class SuiteItem(Record):
    """One proposition of an item of a suite.

    An item of the family correlation has one, of update two (without and with the update), of choice one for each
    alternative, of structure those of a decision or a tree, of coherence those that one check compares.

    Attributes:
        label: A probability; for update 1 where the update must raise it and 0 where it must lower it, None without
            the update; for choice 1 for the right alternative and 0 for others; for structure the same for outcomes,
            or whether the root of a tree is true.
        role: What the proposition is in its item, for structure and coherence.
        relations: How the propositions of a tree are related, on its root, as a JSON list of [place, "entails" or
            "contradicts", place, weight].
    """

    table: ClassVar[str] = "suite_items"
    key: ClassVar[str] = "suite_item_id"

    suite_item_id: Text
    suite_id: Text
    item: Text
    place: Count
    proposition_id: Text
    premise_id: Text
    premise: Text
    hypothesis: Text
    premise_group: Text
    label: Probability | None
    judgments: list[Probability]
    created_at: AwareDatetime = Field(default_factory=now)
    role: str | None = None
    relations: str | None = None


class Evaluation(Record):
    """One figure on one suite for one subject: an estimator, a labeler, a baseline or an annotator.

    `slice` is None for a figure of all items, else the items it is of, such as length=short.
    """

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
    slice: Text | None = None


class Difference(Record):
    """How much a figure of one subject exceeds that of another on the items of a suite that both answered."""

    table: ClassVar[str] = "differences"
    key: ClassVar[str] = "difference_id"

    difference_id: Text
    model_id: Text
    suite: Text
    subject: Text
    against: Text
    metric: Text
    value: float
    low: float
    high: float
    p: Share
    p_holm: Share
    n: Count
    created_at: AwareDatetime = Field(default_factory=now)


class Ablation(Record):
    """One figure of a variant of an ablation on one set of items, beside the variant that it is compared with.

    `plan` tells apart what was run under one name: the estimators and the items. The differences are None for the
    variant that others are compared with.
    """

    table: ClassVar[str] = "ablations"
    key: ClassVar[str] = "ablation_id"

    ablation_id: Text
    name: Text
    plan: Text
    variant: Text
    changes: str
    models: list[str]
    suite: Text
    metric: Text
    value: float | None
    low: float | None = None
    high: float | None = None
    seed_sd: float | None = None
    n: Count
    against: Text
    difference: float | None = None
    difference_low: float | None = None
    difference_high: float | None = None
    p: Share | None = None
    p_holm: Share | None = None
    created_at: AwareDatetime = Field(default_factory=now)

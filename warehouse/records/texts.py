"""Premises and propositions, and the forms in which the other rooms receive them."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import AwareDatetime, Field

from warehouse.records.base import Probability, Record, Split, Text, now

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
    """A premise with a hypothesis.

    Attributes:
        parent_id: The proposition it was derived from; a conjunction has its second part in `other_parent_id`.
        target_probability: The probability that the proposer was asked to aim at, or that an import gave.
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


class Choice(Record):
    """The right alternative of a question next to a wrong one. A question of n alternatives has n - 1 of them."""

    table: ClassVar[str] = "choices"
    key: ClassVar[str] = "choice_id"

    choice_id: Text
    higher_id: Text
    lower_id: Text
    source: Text
    source_id: Text
    created_at: AwareDatetime = Field(default_factory=now)


class StatedSplit(Record):
    """The split that an imported file states for a premise. Importing the file again replaces it."""

    table: ClassVar[str] = "stated_splits"
    key: ClassVar[str] = "stated_split_id"

    stated_split_id: Text
    premise_id: Text
    split: Split
    source: Text
    file: Text
    created_at: AwareDatetime = Field(default_factory=now)


class PropositionText(Record):
    """A proposition with both texts, as labelers, annotators and estimators see it. Not a table."""

    proposition_id: Text
    premise: Text
    hypothesis: Text


class PremiseToPropose(Record):
    """A premise to write hypotheses for. Not a table.

    Attributes:
        known: The hypotheses it already has, by proposition id.
        written_by: The request that wrote each of them, by proposition id; imported ones have no entry.
        split: The split of the premise; None while it has no propositions.
    """

    premise: Premise
    known: dict[str, str] = Field(default_factory=dict)
    written_by: dict[str, str] = Field(default_factory=dict)
    split: Split | None = None


class Parent(Record):
    """A proposition to derive others from. Not a table.

    Attributes:
        other: The second part of a conjunction, with the same premise.
        known: The hypotheses of its premise, by proposition id. All parents with this premise share the dict.
        written_by: The request that wrote each of them, and each proposition on another premise derived from them.
    """

    proposition_id: Text
    premise: Premise
    hypothesis: Text
    split: Split
    other: PropositionText | None = None
    known: dict[str, str] = Field(default_factory=dict)
    written_by: dict[str, str] = Field(default_factory=dict)


class Pair(Record):
    """Two propositions to compare; the first has the smaller id. Not a table."""

    first: PropositionText
    second: PropositionText


class Drop(Record):
    """A row that was left out, with its reason: nothing disappears uncounted.

    `kept_id` is the row that was kept in its place, such as the original of a near-duplicate.
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

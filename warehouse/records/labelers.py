"""What LLMs were asked and what they answered: requests, labelers, estimates, verdicts, comparisons."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import AwareDatetime, Field, model_validator

from warehouse.records.base import Count, Probability, Record, Share, Text, now
from warehouse.records.texts import PropositionText

RequestStatus = Literal["answered", "refused", "failed"]
LLMMethod = Literal["verbalised", "scale20", "token", "mean_of_samples", "pairwise"]
Method = Literal[LLMMethod, "estimator"]
ESTIMATOR: Literal["estimator"] = "estimator"
"""The method of a labeler that is an estimator: it is scored, no LLM is asked."""
JudgeMode = Literal["confidence", "keep_drop"]


class Request(Record):
    """One LLM call and its outcome. `reply` is the text as received, never with credentials."""

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
            raise ValueError("an answered request has no reason; any other request needs one")
        return self


class LabelerVersion(Record):
    """One version of a labeler: what it consists of, and whether the settings use it."""

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
    """One labeler's probability for one proposition, or the reason why it is missing."""

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
            raise ValueError("an estimate needs either a probability or a reason, not both")
        return self


class PanelAnswer(Record):
    """One labeler's estimate for a proposition, as shown to a judge. Not a table."""

    estimate_id: Text
    labeler: Text
    probability: Probability
    reasoning: str | None = None


class Disagreement(Record):
    """A proposition on which the panel disagrees, with the latest answer of each labeler. Not a table."""

    proposition: PropositionText
    answers: list[PanelAnswer]


class Verdict(Record):
    """A judge's confidence in one estimate of a panel that disagrees, or the reason why it is missing.

    In mode `keep_drop` the confidence is 1 for an estimate to keep and 0 for one to drop.
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
            raise ValueError("a verdict needs either a confidence or a reason, not both")
        return self


class Comparison(Record):
    """Which of two propositions a labeler finds more likely. Asked in both orders; both answers must agree."""

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
            raise ValueError("a comparison needs either the more likely proposition or a reason, not both")
        return self

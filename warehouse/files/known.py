"""The named formats of files that can be imported, as data: columns, scales, who judged, and words for ratings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from warehouse.records import AnnotatorKind

JudgmentFormat = Literal["plain", "mturk", "unli", "joci", "chaosnli", "nli-variation", "commitment-bank"]
PropositionFormat = Literal["plain", "defeasible"]
ChoiceFormat = Literal["plain", "copa", "ecare", "hellaswag"]
StructureFormat = Literal["bird", "maieutic"]
CoherenceFormat = Literal["coherence"]
SuiteFormat = Literal[JudgmentFormat, PropositionFormat, ChoiceFormat, StructureFormat, CoherenceFormat]

SLIDER = (0.0, 10_000.0)
"""The scale of the slider of UNLI, which is not linear in the probability (`warehouse.scales`)."""


@dataclass(frozen=True)
class Known:
    """A format. What it leaves out is as in a plain file.

    Attributes:
        columns: The names that the column of each field may have, the first one found counting. A field that is not
            listed has no column.
        scale: The lowest and highest rating.
        sliders: The names of columns with positions of UNLI's slider, on SLIDER, instead of ratings on `scale`.
        ordinal: The lowest and highest label, if ratings are labels of equal intervals.
        kind: What the annotators are; without a column of annotators, each rating counts as that of another one.
        words: The rating for a word, also as a key of counted responses.
        missing: Words for "no value".
        entities: Whether texts are HTML.
    """

    columns: Mapping[str, tuple[str, ...]]
    scale: tuple[float, float] = (0.0, 100.0)
    sliders: tuple[str, ...] = ()
    ordinal: tuple[int, int] | None = None
    kind: AnnotatorKind = "imported"
    words: Mapping[str, float] = field(default_factory=dict)
    missing: tuple[str, ...] = ()
    entities: bool = False


JUDGMENTS: Mapping[JudgmentFormat, Known] = {
    "mturk": Known(
        {
            "premise": ("Input.premise", "Input.context"),
            "hypothesis": ("Input.hypothesis", "Input.statement"),
            "annotator": ("WorkerId",),
            "rating": ("Answer.rating", "Answer.slider", "Answer.probability"),
            "cannot_judge": ("Answer.cannot_judge", "Answer.cannot_judge.on", "Answer.cannot", "Answer.cannot.on"),
            "submitted_at": ("SubmitTime",),
            "status": ("AssignmentStatus",),
            "batch": ("HITTypeId", "HITId"),
            "lead_time": ("WorkTimeInSeconds",),
            "comment": ("Answer.comment", "Answer.comments", "Answer.feedback"),
            "source_id": ("AssignmentId",),
        },
        missing=("{}",),  # an answer that was left open
        entities=True,
    ),
    # Chen et al. 2020: one label per pair, published as a probability.
    "unli": Known(
        {
            "premise": ("premise", "pre"),
            "hypothesis": ("hypothesis", "hyp"),
            "rating": ("unli", "label", "slider"),
            "split": ("split",),
        },
        scale=(0.0, 1.0),
        sliders=("slider",),
        kind="aggregate",
    ),
    # Zhang et al. 2017: 1 (impossible) to 5 (very likely).
    "joci": Known(
        {
            "premise": ("premise", "context"),
            "hypothesis": ("hypothesis",),
            "rating": ("label",),
            "batch": ("subset",),
            "split": ("split",),
        },
        ordinal=(1, 5),
        kind="aggregate",
    ),
    # Nie, Zhou and Bansal 2020: the counts of 100 labels per pair.
    "chaosnli": Known(
        {
            "premise": ("example:/premise", "premise"),
            "hypothesis": ("example:/hypothesis", "hypothesis"),
            "responses": ("label_counter", "label_count"),
            "batch": ("example:/source", "source"),
            "split": ("split",),
        },
        scale=(0.0, 1.0),
        kind="anonymous",
        words={"e": 1.0, "n": 0.5, "c": 0.0},  # in the order of label_count
    ),
    # Pavlick and Kwiatkowski 2019: about 50 slider positions per pair.
    "nli-variation": Known(
        {
            "premise": ("premise",),
            "hypothesis": ("hypothesis",),
            "annotator": ("annotator",),
            "rating": ("rating",),
            "cannot_judge": ("cannot_judge",),
            "submitted_at": ("submitted_at",),
            "status": ("status",),
            "batch": ("batch",),
            "lead_time": ("assignment_seconds",),
            "split": ("split",),
        },
    ),
    # De Marneffe, Simons and Tonhauser 2019: -3 (certainly false) to 3 (certainly true), one row per response.
    "commitment-bank": Known(
        {
            "premise": ("premise",),
            "hypothesis": ("hypothesis", "prompt"),
            "rating": ("response",),
            "batch": ("genre",),
            "split": ("split",),
        },
        scale=(-3.0, 3.0),
        kind="anonymous",
    ),
}
PROPOSITIONS: Mapping[PropositionFormat, Known] = {
    # Rudinger et al. 2020.
    "defeasible": Known(
        {
            "premise": ("premise",),
            "hypothesis": ("hypothesis",),
            "update": ("update",),
            "update_type": ("update_type", "updatetype"),
            "split": ("split",),
        },
    ),
}
CHOICES: Mapping[ChoiceFormat, Known] = {
    # Roemmele, Bejan and Gordon 2011, as in SuperGLUE.
    "copa": Known(
        {
            "premise": ("premise",),
            "asks_for": ("question", "asks-for"),
            "alternative_1": ("choice1",),
            "alternative_2": ("choice2",),
            "answer": ("label",),
            "source_id": ("idx", "id"),
            "split": ("split",),
        },
    ),
    # Du et al. 2022.
    "ecare": Known(
        {
            "premise": ("premise",),
            "asks_for": ("ask-for", "asks_for"),
            "alternative_1": ("hypothesis1", "alternative_1"),
            "alternative_2": ("hypothesis2", "alternative_2"),
            "answer": ("label", "answer"),
            "source_id": ("index",),
            "split": ("split",),
        },
    ),
    # Zellers et al. 2019: four endings of a text.
    "hellaswag": Known(
        {
            "premise": ("ctx",),
            "alternatives": ("endings",),
            "answer": ("label",),
            "source_id": ("ind",),
            "split": ("split",),
        },
    ),
}

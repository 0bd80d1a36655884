"""Which column of a file of judgments holds which field: by default, in a named format, or as given."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from warehouse.files.header import Wanted, named
from warehouse.files.reading import AS_FOUND, Reading, TextColumns, read_columns
from warehouse.records import AnnotatorKind

Format = Literal["plain", "mturk"]

FIELDS: dict[str, Wanted] = {
    "premise": Wanted(("premise",), True, "text", "an MTurk batch is read with --format mturk", "WorkerId"),
    "hypothesis": Wanted(("hypothesis",), True, "text"),
    "annotator": Wanted(
        ("annotator",), True, "id", "a file of probabilities without annotators is one for odds import propositions"
    ),
    "rating": Wanted(("rating",), True),
    "cannot_judge": Wanted(("cannot_judge",)),
    "submitted_at": Wanted(("submitted_at",)),
    "status": Wanted(("status",), kind="id"),
    "batch": Wanted(("batch",), kind="id"),
    "group": Wanted(("group",), kind="id"),
    "lead_time": Wanted(("lead_time",)),
    "comment": Wanted(("comment",), kind="text"),
    "source_id": Wanted((), kind="id"),
}
MTURK: dict[str, tuple[str, ...]] = {
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
}
MTURK_MISSING = "{}"  # an answer that was left open


class JudgmentMapping(BaseModel):
    """Which column of a file holds which field. Named columns must exist; optional defaults need not.

    A name may end in a JSON pointer into the column's values, such as `Answer.taskAnswers:/0/slider`.

    Attributes:
        premise: The premise.
        hypothesis: The hypothesis.
        annotator: The annotator's id in this source.
        rating: A number on `scale`. May be empty if the annotator could not judge; other empty ones are dropped,
        counted. cannot_judge: true or false, yes or no, 1 or 0; empty means false.
        submitted_at: ISO 8601, or like "Wed Dec 19 16:10:21 PST 2018"; UTC without a zone.
        status: The status in the source, kept in lower case; `rejected` judgments do not count.
        batch: Any text.
        group: The annotator's group, the same in all rows that name it.
        lead_time: Seconds.
        comment: The annotator's comment.
        source_id: A unique id of the judgment. Without one, a judgment is identified by annotator, proposition and its
            position among the annotator's judgments on it in the file.
        format: `mturk` for the column names of MTurk batch results.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    premise: str = "premise"
    hypothesis: str = "hypothesis"
    annotator: str = "annotator"
    rating: str = "rating"
    scale: tuple[float, float] = (0.0, 100.0)
    cannot_judge: str | None = "cannot_judge"
    submitted_at: str | None = "submitted_at"
    status: str | None = "status"
    batch: str | None = "batch"
    group: str | None = "group"
    lead_time: str | None = "lead_time"
    comment: str | None = "comment"
    source_id: str | None = None
    annotator_kind: Annotated[AnnotatorKind, Field(description="what the annotators of the file are")] = "imported"
    format: Format = "plain"

    @model_validator(mode="after")
    def _scale_has_a_length(self) -> JudgmentMapping:
        if not self.scale[0] < self.scale[1]:
            raise ValueError("the scale must be its lowest and highest rating, such as 0 and 100")
        return self

    def wanted(self) -> dict[str, Wanted]:
        """The fields to look for, with the names that their columns may have."""
        usual = FIELDS
        if self.format == "mturk":
            usual = {name: Wanted(MTURK.get(name, ()), one.required, one.kind) for name, one in FIELDS.items()}
        return named(usual, {name: getattr(self, name) for name in FIELDS if name in self.model_fields_set})


def judgment_columns(path: Path, mapping: JudgmentMapping, reading: Reading = AS_FOUND) -> TextColumns:
    """Read the columns of a file of judgments. Raises `InputError` as `read_columns` does."""
    if mapping.format == "mturk":
        missing = (*reading.missing, MTURK_MISSING)
        reading = reading.model_copy(update={"missing": missing, "entities": reading.entities is not False})
    return read_columns(path, mapping.wanted(), reading)

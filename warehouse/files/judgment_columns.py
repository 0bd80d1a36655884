"""Which column of a file of judgments holds which field: by default, in a named format, or as given."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict, model_validator

from warehouse.errors import InputError
from warehouse.files.header import Wanted, named, renamed
from warehouse.files.known import JUDGMENTS, SLIDER, JudgmentFormat, Known
from warehouse.files.reading import AS_FOUND, Reading, TextColumns, read_columns
from warehouse.records import NOBODY, AnnotatorKind

FIELDS: dict[str, Wanted] = {
    "premise": Wanted(
        ("premise",),
        True,
        "text",
        (
            ("WorkerId", "an MTurk batch is read with --format mturk"),
            ("ResponseId", "a file with a column per item is reshaped as docs/importing.md says"),
        ),
    ),
    "hypothesis": Wanted(("hypothesis",), True, "text"),
    "annotator": Wanted(
        ("annotator",),
        True,
        "id",
        (("", "labels without annotators are read with --aggregated, or as targets by odds import propositions"),),
    ),
    "rating": Wanted(("rating",), True),
    "responses": Wanted((), True, "json"),
    "cannot_judge": Wanted(("cannot_judge",)),
    "submitted_at": Wanted(("submitted_at",)),
    "status": Wanted(("status",), kind="id"),
    "batch": Wanted(("batch",), kind="id"),
    "group": Wanted(("group",), kind="id"),
    "lead_time": Wanted(("lead_time",)),
    "comment": Wanted(("comment",), kind="text"),
    "source_id": Wanted((), kind="id"),
    "split": Wanted(("split",)),
}
PLAIN = Known({name: one.names for name, one in FIELDS.items() if one.names})


class JudgmentMapping(BaseModel):
    """Which column of a file holds which field. Named columns must exist; optional defaults need not.

    A name may end in a JSON pointer into the column's values, such as `Answer.taskAnswers:/0/slider`.

    Attributes:
        premise: The premise.
        hypothesis: The hypothesis.
        annotator: The annotator's id in this source. Not read if `kind` is aggregate or anonymous.
        rating: A number on `scale`. May be empty if the annotator could not judge; other empty ones are dropped and
            counted.
        responses: Several ratings in a cell, in place of `rating`: a JSON list of ratings, a list of counts (of
            `counted`), or an object of counts by rating.
        counted: The ratings that lists of counts count, in their order.
        scale: The lowest and highest rating, by default those of the format. (0, 10000) in the format `unli` is its
            slider, whose steps are not equal.
        ordinal: The lowest and highest label, if ratings are labels of equal intervals.
        ordinal_words: The labels from the lowest to the highest if they are words, whose case does not matter.
        cannot_judge: true or false, yes or no, 1 or 0; empty means false.
        submitted_at: ISO 8601, or like "Wed Dec 19 16:10:21 PST 2018"; UTC without a zone.
        status: The status in the source, kept in lower case; `rejected` judgments do not count.
        batch: Any text.
        group: The annotator's group, the same in all rows that name it.
        lead_time: Seconds.
        comment: The annotator's comment.
        source_id: A unique id of the judgment. Without one, a judgment is identified by annotator, proposition and its
            position among the annotator's judgments on it in the file.
        split: The split that the file states for the premise.
        annotator_kind: What the annotators are, by default what the format says: of responses anonymous, else imported.
        format: A named format (`warehouse.files.known`), or plain.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    premise: str = "premise"
    hypothesis: str = "hypothesis"
    annotator: str | None = "annotator"
    rating: str = "rating"
    responses: str | None = None
    counted: tuple[float, ...] = ()
    scale: tuple[float, float] | None = None
    ordinal: tuple[int, int] | None = None
    ordinal_words: tuple[str, ...] = ()
    cannot_judge: str | None = "cannot_judge"
    submitted_at: str | None = "submitted_at"
    status: str | None = "status"
    batch: str | None = "batch"
    group: str | None = "group"
    lead_time: str | None = "lead_time"
    comment: str | None = "comment"
    source_id: str | None = None
    split: str | None = "split"
    annotator_kind: AnnotatorKind | None = None
    format: JudgmentFormat = "plain"

    @model_validator(mode="after")
    def _scales_have_a_length(self) -> JudgmentMapping:
        for scale in (self.scale, self.ordinal):
            if scale is not None and not scale[0] < scale[1]:
                raise ValueError("the scale must be its lowest and highest rating, such as 0 and 100")
        return self

    @property
    def known(self) -> Known:
        """The format."""
        return JUDGMENTS.get(self.format, PLAIN)

    @property
    def kind(self) -> AnnotatorKind:
        """What the annotators are."""
        if self.annotator_kind is not None:
            return self.annotator_kind
        return "anonymous" if self.responses is not None and self.format == "plain" else self.known.kind

    @property
    def has_annotators(self) -> bool:
        """Whether the file says who judged."""
        return self.kind not in NOBODY

    @property
    def labels(self) -> tuple[int, int] | None:
        """The lowest and highest label if ratings are labels; otherwise None. Words are numbered from 1."""
        if self.ordinal_words:
            return 1, len(self.ordinal_words)
        return self.ordinal or (self.known.ordinal if self.scale is None else None)

    @property
    def words(self) -> Mapping[str, float]:
        """The rating for a word."""
        return {word: float(n) for n, word in enumerate(self.ordinal_words, 1)} or self.known.words

    def bounds(self, read: TextColumns) -> tuple[float, float]:
        """Return the lowest and highest rating in the columns of a file."""
        if self.labels is not None:
            return self.labels
        return self.scale or (SLIDER if self.is_slider(read) else self.known.scale)

    def is_slider(self, read: TextColumns) -> bool:
        """Return whether the ratings are positions of UNLI's slider, by the scale or the name of their column."""
        column = read.labels.get("rating", "").lower()
        told = column in self.known.sliders if self.scale is None else self.scale == SLIDER
        return bool(self.known.sliders) and told

    def wanted(self) -> dict[str, Wanted]:
        """The fields to look for, with the names that their columns may have.

        Raises:
            InputError: A required field has no column, or a named one cannot be read.
        """
        columns = self.known.columns
        usual = FIELDS if self.format == "plain" else renamed(FIELDS, columns)
        given = {name: getattr(self, name) for name in FIELDS if name in self.model_fields_set}
        # Which of these there are depends on the kind of file.
        several = bool(self.responses) or "responses" in columns
        if several and self.has_annotators:
            raise InputError(f"annotators of kind {self.kind} cannot be read: a list of responses names none")
        absent = {"rating" if several else "responses"} | (set() if self.has_annotators else {"annotator", "group"})
        for field in absent & {name for name, column in given.items() if column is not None}:
            reason = "there are responses" if field == "rating" else f"annotators of kind {self.kind} are not known"
            raise InputError(f"--column {field}={given[field]} cannot be read, because {reason}")
        usual = {name: one for name, one in usual.items() if name not in absent}
        return named(usual, {name: column for name, column in given.items() if name in usual})


def judgment_columns(path: Path, mapping: JudgmentMapping, reading: Reading = AS_FOUND) -> TextColumns:
    """Read the columns of a file of judgments as a person says and its format knows.

    Raises `InputError` as `read_columns` does.
    """
    entities = mapping.known.entities if reading.entities is None else reading.entities
    known = {"missing": (*reading.missing, *mapping.known.missing), "entities": entities}
    return read_columns(path, mapping.wanted(), reading.model_copy(update=known))

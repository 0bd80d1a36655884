"""What rests on what: one table of edges between kinds, which a trace follows in both directions."""

from __future__ import annotations

from dataclasses import dataclass

from warehouse.lineage.kinds import CONSENSUS, KINDS, RECALIBRATIONS

# The recalibrations that the pooled estimates of a proposition can have gone through, and the other way round.
RECALIBRATED_BY = f"""
SELECT r.*, e.proposition_id AS _proposition FROM ({RECALIBRATIONS}) r
JOIN {{estimates}} e ON e.labeler = r.labeler AND e.labeler_version = r.labeler_version
QUALIFY row_number() OVER (PARTITION BY e.proposition_id, r._labeler ORDER BY r.created_at DESC, r.recalibration_id) = 1
"""
CONSENSUS_OF_RECALIBRATED = f"""
SELECT c.* REPLACE (r.recalibration_id AS _pooled) FROM ({CONSENSUS}) c
JOIN estimates e ON e.proposition_id = c._pooled
JOIN recalibrations r ON r.labeler = e.labeler AND r.labeler_version = e.labeler_version
WHERE r.snapshot_id <= c.snapshot_id
"""


@dataclass(frozen=True)
class Link:
    """One direction of an edge: from rows of one kind to those of another where two columns are equal.

    Attributes:
        relation: What a trace calls the rows that it leads to; empty if it is not followed.
        start: The kind that it starts from.
        mine: The column there.
        to: The kind that it leads to.
        theirs: The column there.
        leaf: Whether the trace goes no further from there.
        rows: A query for the rows there, if it is not that of their kind.
        subject_only: Whether only the subject of a trace follows it, because elsewhere the tree says it already.
        focused: Whether it is followed only in a trace about one proposition (True), or only in others (False).
        same: A column that must be equal too, unless a shard does not know it.
    """

    relation: str
    start: str
    mine: str
    to: str
    theirs: str
    leaf: bool = False
    rows: str = ""
    subject_only: bool = False
    focused: bool | None = None
    same: str = ""


def edge(
    user: str,
    base: str,
    back: str = "",
    forward: str = "",
    *,
    back_leaf: bool = False,
    forward_leaf: bool = False,
    back_rows: str = "",
    forward_rows: str = "",
    subject_only: bool = False,
    focused: bool | None = None,
    same: str = "",
) -> tuple[Link, Link]:
    """Return both directions of an edge: back from its user to the base that it rests on, and forward.

    Both ends are written `kind.column`; a base without a column means its id. `subject_only` and `focused` are about
    the direction back.
    """
    (kind, column), (other, _, key) = user.split("."), base.partition(".")
    key = key or KINDS[other].key
    return (
        Link(back, kind, column, other, key, back_leaf, back_rows, subject_only, focused, same),
        Link(forward, other, key, kind, column, forward_leaf, forward_rows, same=same),
    )


def about(user: str, base: str, forward: str = "", *, forward_leaf: bool = False) -> tuple[Link, Link]:
    """Return an edge to what a row is about."""
    return edge(user, base, "about", forward, subject_only=True, forward_leaf=forward_leaf)


def _inside(kind: str) -> tuple[tuple[Link, Link], ...]:
    """What a row in the file of a shard rests on: its columns come from `warehouse.lineage.shard_files`."""
    leaf, published = kind == "row", "published in" if kind == "shard" else ""
    return (
        edge(f"{kind}._human", "consensus.proposition_id", "consensus", published, back_leaf=leaf, same="method"),
        edge(f"{kind}._synthetic", "estimate.proposition_id", "estimates", published, back_leaf=leaf),
        edge(
            f"{kind}._synthetic",
            "recalibration._proposition",
            "recalibrations",
            back_leaf=True,
            back_rows=RECALIBRATED_BY,
        ),
        edge(f"{kind}._synthetic", "verdict.proposition_id", "verdicts", published, back_leaf=leaf),
        edge(f"{kind}._compared", "comparison._pair", "comparisons", published, back_leaf=leaf),
        edge(f"{kind}._chosen", "choice._pair", "choices", published, back_leaf=leaf),
    )


THEN = "judgments known then"

# In the order in which a trace shows them.
EDGES: tuple[tuple[Link, Link], ...] = (
    edge("proposition.premise_id", "premise", "premise", "propositions"),
    edge("proposition.parent_id", "proposition", "derived from", "derived"),
    edge("proposition.request_id", "request", "proposed in", "propositions"),
    edge("estimate.request_id", "request", "request", "estimates"),
    edge("estimate._sampled", "request._sampled", "samples", "samples of"),
    edge("estimate._labeler", "labeler._labeler", "labeler", "estimates", subject_only=True, forward_leaf=True),
    about("estimate.proposition_id", "proposition", "estimates", forward_leaf=True),
    edge("verdict.request_id", "request", "request", "verdicts"),
    about("verdict.estimate_id", "estimate", "verdicts", forward_leaf=True),
    about("verdict.proposition_id", "proposition", "verdicts", forward_leaf=True),
    edge("comparison.request_id", "request", "request", "comparisons"),
    edge("comparison.swapped_request_id", "request", "request, swapped", "comparisons"),
    edge("comparison._labeler", "labeler._labeler", "labeler", "comparisons", subject_only=True, forward_leaf=True),
    about("comparison.first_id", "proposition", "comparisons", forward_leaf=True),
    about("comparison.second_id", "proposition", "comparisons", forward_leaf=True),
    about("choice.higher_id", "proposition", "choices", forward_leaf=True),
    about("choice.lower_id", "proposition", "choices", forward_leaf=True),
    about("stated split.premise_id", "premise", "stated splits", forward_leaf=True),
    about("request.subject_id", "premise"),
    about("request.subject_id", "proposition"),
    edge("request._in_vain", "premise", forward="asked in vain", forward_leaf=True),
    edge("request._in_vain", "proposition", forward="asked in vain", forward_leaf=True),
    about("task.proposition_id", "proposition", "tasks", forward_leaf=True),
    about("check.proposition_id", "proposition", "checks"),
    edge("judgment.annotator_id", "annotator", "annotator", "judgments", subject_only=True),
    edge("judgment._task", "task._task", "task", "judgments", subject_only=True, back_leaf=True),
    about("judgment.proposition_id", "proposition", "judgments", forward_leaf=True),
    edge("consensus.proposition_id", "judgment._counted", "judgments", "consensus"),
    edge("consensus._pooled", "estimate.proposition_id", "estimates, pooled", "pooled in"),
    edge(
        "consensus._pooled",
        "recalibration._proposition",
        "recalibrations",
        back_leaf=True,
        back_rows=RECALIBRATED_BY,
    ),
    edge("consensus._pooled", "recalibration", forward="may be pooled in", forward_rows=CONSENSUS_OF_RECALIBRATED),
    edge("consensus._unpooled", "estimate.proposition_id", "estimates, not pooled"),
    edge("consensus.proposition_id", "verdict.proposition_id", "verdicts, not pooled"),
    edge("consensus._em_snapshot", "consensus fit.snapshot_id", "consensus fit", "consensus", back_leaf=True),
    about("consensus.proposition_id", "proposition", "consensus"),
    edge("recalibration._labeler", "estimate._labeler", "estimates", back_leaf=True),
    edge("recalibration._labeler", "labeler._labeler", forward="recalibrations", forward_leaf=True),
    *_inside("shard"),
    *_inside("row"),
    edge("shard._derived", "proposition", forward="published in"),
    edge("shard.shard_id", "row.shard_id", "rows", subject_only=True),
    edge("dataset.dataset_id", "shard.dataset_id", "holds it in", focused=True),
    edge("dataset.dataset_id", "shard.dataset_id", "shards", "dataset", back_leaf=True, focused=False),
    edge("model.dataset_id", "dataset", "trained on", "models"),
    edge("evaluation.model_id", "model", "of", "evaluations"),
    edge("evaluation.dataset_id", "dataset", "measured on"),
    edge("score.model_id", "model", "given by", "scores"),
    edge("score.proposition_id", "proposition", "about", "scores"),
    about("drop.subject_id", "premise", "dropped"),
    about("drop.subject_id", "proposition", "dropped"),
    about("drop.subject_id", "judgment", "dropped"),
    edge("agreement._slice", "judgments._slice", THEN, back_leaf=True),
    edge("consensus fit._slice", "judgments._slice", THEN, back_leaf=True),
    edge("recalibration._slice", "judgments._slice", THEN, back_leaf=True),
    edge("dataset._slice", "judgments._slice", THEN, back_leaf=True, focused=False),
)

"""What the warehouse knows, kind by kind: how its rows are read, what each rests on, and what rests on it.

One table, `KINDS`, says how everything hangs together; `warehouse.lineage.trace` walks along it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

Finder: TypeAlias = Literal["joined", "holding", "inside", "grouped"]


@dataclass(frozen=True)
class Link:
    """From the rows of one kind to those of another: where `mine` here equals `theirs` there.

    Columns that begin with `_` are made up in `Kind.rows` for such a comparison. `at` is the column here with the
    snapshot at which the other rows are read. `subject_only`: followed only from what is traced itself, where the tree
    says it elsewhere already. `leaf`: what is found is not followed further. `focused`: followed only where the trace
    is about one proposition (True) or about none (False). `same`: a column that must be equal where it is known here.
    `rows` stands in for the `rows` of the other kind. `finder` says how it is looked up, in `warehouse.lineage.trace`;
    `origins` which rows of a shard count there (human, synthetic, pairs).
    """

    relation: str
    to: str
    mine: str
    theirs: str
    at: str | None = None
    subject_only: bool = False
    leaf: bool = False
    focused: bool | None = None
    same: str | None = None
    rows: str | None = None
    finder: Finder = "joined"
    origins: tuple[str, ...] = ()


@dataclass(frozen=True)
class Kind:
    """A kind of row. `key` is the column of its id.

    `rows` is its query: tables in braces can be read as they were at a snapshot, `{scope}` narrows to what is asked.
    Its column `simulated` says whether a row is made up by a program, or rests on a judgment that is. `order` is
    ascending.
    """

    key: str
    rows: str
    back: tuple[Link, ...] = ()
    forward: tuple[Link, ...] = ()
    order: str = "created_at"


# What the trace of one kind adds to its table. The judgments that do not count say why: see the view valid_judgments.
JUDGMENTS = """
SELECT
  j.*, a.kind AS annotator_kind, coalesce(a.name, a.source_id) AS annotator, a.kind = 'simulated' AS simulated,
  CASE
    WHEN j.deleted_at IS NOT NULL THEN 'deleted' WHEN j.status = 'rejected' THEN 'rejected'
    WHEN j.cannot_judge THEN 'cannot judge' WHEN j._place > 1 THEN 'a repeat'
  END AS unused,
  CASE WHEN unused IS NULL THEN j.proposition_id END AS _counted
FROM (
  SELECT *, row_number() OVER (
    PARTITION BY annotator_id, proposition_id, deleted_at IS NULL AND status <> 'rejected' AND NOT cannot_judge
    ORDER BY sequence NULLS LAST, submitted_at NULLS LAST, judgment_id
  ) AS _place
  FROM (SELECT *, batch || ' ' || proposition_id AS _task FROM {judgments}) WHERE {scope}
) j JOIN annotators a ON a.annotator_id = j.annotator_id
"""
CONSENSUS = """
SELECT
  c.*, CASE WHEN method = 'em' THEN snapshot_id END AS _em_snapshot,
  CASE WHEN n_estimates > 0 THEN proposition_id END AS _pooled,
  CASE WHEN n_estimates = 0 THEN proposition_id END AS _unpooled,
  n_simulated > 0 OR (n_estimates > 0 AND proposition_id IN (
    SELECT e.proposition_id FROM estimates e JOIN recalibrations r
    ON r.labeler = e.labeler AND r.labeler_version = e.labeler_version WHERE r.n_simulated > 0
  )) AS simulated
FROM {consensus} c
"""
ESTIMATES = """
SELECT
  *, false AS simulated, labeler || ' ' || labeler_version AS _labeler,
  CASE WHEN request_id IS NULL THEN proposition_id || ' ' || labeler END AS _sampled
FROM {estimates}
"""
RECALIBRATIONS = (
    "SELECT *, labeler || ' ' || labeler_version AS _labeler, n_simulated > 0 AS simulated FROM {recalibrations}"
)
# The recalibrations that the pooled estimates of a proposition can have gone through, and the other way round.
RECALIBRATED_BY = f"""
SELECT r.*, e.proposition_id AS _pooled FROM ({RECALIBRATIONS}) r
JOIN {{estimates}} e ON e.labeler = r.labeler AND e.labeler_version = r.labeler_version
QUALIFY row_number() OVER (PARTITION BY e.proposition_id, r._labeler ORDER BY r.created_at DESC, r.recalibration_id) = 1
"""
CONSENSUS_OF_RECALIBRATED = f"""
SELECT c.*, r.recalibration_id AS _recalibration FROM ({CONSENSUS}) c
JOIN estimates e ON e.proposition_id = c._pooled
JOIN recalibrations r ON r.labeler = e.labeler AND r.labeler_version = e.labeler_version
WHERE r.snapshot_id <= c.snapshot_id
"""
VERDICTS = "SELECT *, false AS simulated FROM {verdicts}"
COMPARISONS = """
SELECT *, first_id || ' ' || second_id AS _pair, labeler || ' ' || labeler_version AS _labeler, false AS simulated
FROM {comparisons}
"""
LABELERS = "SELECT *, labeler || ' ' || labeler_version AS _labeler, false AS simulated FROM labelers"
# A row for each of the two propositions, and for each of the two requests: one for either order.
COMPARED = f"SELECT *, unnest([first_id, second_id]) AS _either FROM ({COMPARISONS})"
ASKED_TO_COMPARE = f"SELECT *, unnest([request_id, swapped_request_id]) AS _asked FROM ({COMPARISONS})"
SHARDS = """
SELECT s.*, d.name || ' v' || d.version AS dataset, d.path AS folder, d.snapshot_id, d.n_simulated > 0 AS simulated
FROM shards s JOIN datasets d ON d.dataset_id = s.dataset_id
"""
MODELS = """
SELECT m.*, coalesce(d.n_simulated > 0, false) AS simulated
FROM models m LEFT JOIN datasets d ON d.dataset_id = m.dataset_id
"""
SCORES = """
SELECT s.*, coalesce(d.n_simulated > 0, false) AS simulated
FROM scores s LEFT JOIN models m ON m.model_id = s.model_id LEFT JOIN datasets d ON d.dataset_id = m.dataset_id
"""
ANNOTATORS = """
SELECT a.*, p.sd, a.kind = 'simulated' AS simulated
FROM annotators a LEFT JOIN annotator_precisions p ON p.annotator_id = a.annotator_id
"""
PREMISES = """
SELECT p.*, g.group_id, g.reason AS group_reason, false AS simulated
FROM premises p LEFT JOIN premise_groups g ON g.premise_id = p.premise_id
"""
REQUESTS = """
SELECT
  *, false AS simulated, CASE WHEN status <> 'answered' THEN subject_id END AS _in_vain,
  CASE WHEN purpose = 'elicit' THEN subject_id || ' ' || labeler END AS _sampled
FROM requests
"""


def _plain(table: str, simulated: str = "false") -> str:
    return f"SELECT *, {simulated} AS simulated FROM {table}"


def _about(*kinds: str, column: str = "proposition_id") -> tuple[Link, ...]:
    """Links to what a row is about, which the tree says elsewhere unless the row is what is traced."""
    return tuple(Link("about", kind, column, f"{kind}_id", subject_only=True) for kind in kinds)


ORIGINS = ("human", "synthetic", "pairs")
MEASURED = Link("judgments known then", "judgments", "snapshot_id", "", at="snapshot_id", leaf=True, finder="grouped")

KINDS: dict[str, Kind] = {
    "premise": Kind(
        key="premise_id",
        rows=PREMISES,
        forward=(
            Link("propositions", "proposition", "premise_id", "premise_id"),
            Link("asked in vain", "request", "premise_id", "_in_vain", leaf=True),
            Link("dropped", "drop", "premise_id", "subject_id"),
        ),
    ),
    "proposition": Kind(
        key="proposition_id",
        rows=_plain("propositions"),
        back=(
            Link("premise", "premise", "premise_id", "premise_id"),
            Link("derived from", "proposition", "parent_id", "proposition_id"),
            Link("proposed in", "request", "request_id", "request_id"),
        ),
        forward=(
            Link("derived", "proposition", "proposition_id", "parent_id"),
            Link("estimates", "estimate", "proposition_id", "proposition_id", leaf=True),
            Link("verdicts", "verdict", "proposition_id", "proposition_id", leaf=True),
            Link("comparisons", "comparison", "proposition_id", "_either", leaf=True, rows=COMPARED),
            Link("asked in vain", "request", "proposition_id", "_in_vain", leaf=True),
            Link("tasks", "task", "proposition_id", "proposition_id", leaf=True),
            Link("checks", "check", "proposition_id", "proposition_id"),
            Link("judgments", "judgment", "proposition_id", "proposition_id", leaf=True),
            Link("consensus", "consensus", "proposition_id", "proposition_id"),
            Link("published in", "shard", "proposition_id", "", finder="holding", origins=("synthetic", "pairs")),
            Link("scores", "score", "proposition_id", "proposition_id"),
            Link("dropped", "drop", "proposition_id", "subject_id"),
        ),
    ),
    "request": Kind(
        key="request_id",
        rows=REQUESTS,
        back=_about("premise", "proposition", column="subject_id"),
        forward=(
            Link("propositions", "proposition", "request_id", "request_id"),
            Link("estimates", "estimate", "request_id", "request_id"),
            Link("samples of", "estimate", "_sampled", "_sampled"),
            Link("verdicts", "verdict", "request_id", "request_id"),
            Link("comparisons", "comparison", "request_id", "_asked", rows=ASKED_TO_COMPARE),
        ),
    ),
    "labeler": Kind(
        key="labeler_id",
        rows=LABELERS,
        forward=(
            Link("estimates", "estimate", "_labeler", "_labeler", leaf=True),
            Link("comparisons", "comparison", "_labeler", "_labeler", leaf=True),
            Link("recalibrations", "recalibration", "_labeler", "_labeler", leaf=True),
        ),
    ),
    "estimate": Kind(
        key="estimate_id",
        rows=ESTIMATES,
        back=(
            Link("request", "request", "request_id", "request_id"),
            Link("samples", "request", "_sampled", "_sampled"),
            Link("labeler", "labeler", "_labeler", "_labeler", subject_only=True),
            *_about("proposition"),
        ),
        forward=(
            Link("verdicts", "verdict", "estimate_id", "estimate_id", leaf=True),
            Link("pooled in", "consensus", "proposition_id", "_pooled"),
            Link("published in", "shard", "proposition_id", "", finder="holding", origins=("synthetic",)),
        ),
    ),
    "verdict": Kind(
        key="verdict_id",
        rows=VERDICTS,
        back=(
            Link("request", "request", "request_id", "request_id"),
            *_about("estimate", column="estimate_id"),
            *_about("proposition"),
        ),
        forward=(Link("published in", "shard", "proposition_id", "", finder="holding", origins=("synthetic",)),),
    ),
    "comparison": Kind(
        key="comparison_id",
        rows=COMPARISONS,
        back=(
            Link("request", "request", "request_id", "request_id"),
            Link("request, swapped", "request", "swapped_request_id", "request_id"),
            Link("labeler", "labeler", "_labeler", "_labeler", subject_only=True),
            *_about("proposition", column="first_id"),
            *_about("proposition", column="second_id"),
        ),
        forward=(Link("published in", "shard", "first_id", "", finder="holding", origins=("pairs",)),),
    ),
    "annotator": Kind(
        key="annotator_id",
        rows=ANNOTATORS,
        forward=(Link("judgments", "judgment", "annotator_id", "annotator_id"),),
    ),
    "judgment": Kind(
        key="judgment_id",
        rows=JUDGMENTS,
        back=(
            Link("annotator", "annotator", "annotator_id", "annotator_id", subject_only=True),
            Link("task", "task", "_task", "_task", subject_only=True, leaf=True),
            *_about("proposition"),
        ),
        forward=(
            Link("consensus", "consensus", "_counted", "proposition_id"),
            Link("dropped", "drop", "judgment_id", "subject_id"),
        ),
        order="coalesce(submitted_at, created_at)",
    ),
    "task": Kind(
        key="task_id",
        rows="SELECT *, project || ' ' || proposition_id AS _task, false AS simulated FROM tasks",
        back=_about("proposition"),
        forward=(Link("judgments", "judgment", "_task", "_task"),),
    ),
    "check": Kind(
        key="check_id",
        rows=_plain("checks"),
        back=_about("proposition"),
    ),
    "drop": Kind(
        key="drop_id",
        rows=_plain("drops"),
        back=_about("premise", "proposition", "judgment", column="subject_id"),
    ),
    "agreement": Kind(key="agreement_id", rows=_plain("agreement", "n_simulated > 0"), back=(MEASURED,)),
    "consensus": Kind(
        key="consensus_id",
        rows=CONSENSUS,
        back=(
            Link("judgments", "judgment", "proposition_id", "_counted", at="snapshot_id"),
            Link("estimates, pooled", "estimate", "_pooled", "proposition_id", at="snapshot_id"),
            Link(
                "recalibrations", "recalibration", "_pooled", "_pooled", "snapshot_id", leaf=True, rows=RECALIBRATED_BY
            ),
            Link("estimates, not pooled", "estimate", "_unpooled", "proposition_id", at="snapshot_id"),
            Link("verdicts, not pooled", "verdict", "proposition_id", "proposition_id", at="snapshot_id"),
            Link("consensus fit", "consensus fit", "_em_snapshot", "snapshot_id", leaf=True),
            *_about("proposition"),
        ),
        forward=(Link("published in", "shard", "proposition_id", "", finder="holding", origins=("human",)),),
        order="method",
    ),
    "consensus fit": Kind(
        key="fit_id",
        rows=_plain("consensus_fits", "n_simulated > 0"),
        back=(MEASURED,),
        forward=(Link("consensus", "consensus", "snapshot_id", "_em_snapshot"),),
    ),
    "recalibration": Kind(
        key="recalibration_id",
        rows=RECALIBRATIONS,
        back=(Link("estimates", "estimate", "_labeler", "_labeler", at="snapshot_id", leaf=True), MEASURED),
        forward=(
            Link("may stand in", "consensus", "recalibration_id", "_recalibration", rows=CONSENSUS_OF_RECALIBRATED),
        ),
        order="-snapshot_id",
    ),
    "dataset": Kind(
        key="dataset_id",
        rows=_plain("datasets", "n_simulated > 0"),
        back=(
            Link("holds it in", "shard", "dataset_id", "", focused=True, finder="holding", origins=ORIGINS),
            Link("shards", "shard", "dataset_id", "dataset_id", focused=False, leaf=True),
            Link(MEASURED.relation, "judgments", "", "", "snapshot_id", leaf=True, focused=False, finder="grouped"),
        ),
        forward=(Link("models", "model", "dataset_id", "dataset_id"),),
        order="-version",
    ),
    "shard": Kind(
        key="shard_id",
        rows=SHARDS,
        back=(
            Link("consensus", "consensus", "_human", "proposition_id", at="snapshot_id", same="method"),
            Link("estimates", "estimate", "_synthetic", "proposition_id", at="snapshot_id"),
            Link(
                "recalibrations",
                "recalibration",
                "_synthetic",
                "_pooled",
                "snapshot_id",
                leaf=True,
                rows=RECALIBRATED_BY,
            ),
            Link("verdicts", "verdict", "_synthetic", "proposition_id", at="snapshot_id"),
            Link("comparisons", "comparison", "_compared", "_pair", at="snapshot_id"),
            Link("rows", "row", "shard_id", "", subject_only=True, finder="inside"),
        ),
        forward=(Link("dataset", "dataset", "dataset_id", "dataset_id"),),
        order="path",
    ),
    "model": Kind(
        key="model_id",
        rows=MODELS,
        back=(Link("trained on", "dataset", "dataset_id", "dataset_id"),),
        forward=(
            Link("evaluations", "evaluation", "model_id", "model_id"),
            Link("scores", "score", "model_id", "model_id"),
        ),
        order="-epoch(created_at)",
    ),
    "score": Kind(
        key="score_id",
        rows=SCORES,
        back=(
            Link("given by", "model", "model_id", "model_id"),
            Link("about", "proposition", "proposition_id", "proposition_id"),
        ),
    ),
    "evaluation": Kind(
        key="evaluation_id",
        rows=_plain("evaluations", "n_simulated > 0"),
        back=(
            Link("of", "model", "model_id", "model_id"),
            Link("measured on", "dataset", "dataset_id", "dataset_id"),
        ),
        order="(suite, subject, metric)",
    ),
}

# What is not a row of a table of its own: a row of a shard, and the judgments of one kind and source together.
PARTS: dict[str, Kind] = {
    "row": Kind(
        key="id",
        rows="",
        back=(
            Link("consensus", "consensus", "_human", "proposition_id", "snapshot_id", leaf=True, same="method"),
            Link("estimates", "estimate", "_synthetic", "proposition_id", "snapshot_id", leaf=True),
            Link(
                "recalibrations",
                "recalibration",
                "_synthetic",
                "_pooled",
                "snapshot_id",
                leaf=True,
                rows=RECALIBRATED_BY,
            ),
            Link("verdicts", "verdict", "_synthetic", "proposition_id", "snapshot_id", leaf=True),
            Link("comparisons", "comparison", "_compared", "_pair", "snapshot_id", leaf=True),
        ),
    ),
    "judgments": Kind(
        key="name",
        rows="",
    ),
}

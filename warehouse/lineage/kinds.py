"""The kinds of things in a trace: the query for the rows of each, and the SQL that puts a row into one line.

In these queries a table name in braces, such as `{judgments}`, can be read as it was at a snapshot. Columns that begin
with `_` serve only the links in `warehouse.lineage.edges`. Every query has a column `simulated`: whether a row was made
up by a program, or rests on judgments that were.
"""

from __future__ import annotations

from dataclasses import dataclass

from warehouse.catalog.extensions import literals
from warehouse.catalog.opened import ALIAS
from warehouse.catalog.schema import REPEATS
from warehouse.records import NOBODY, TABLES

# The judgments that do not count say why, as in the view valid_judgments. `{scope}` limits the rows to number.
JUDGMENTS = f"""
SELECT
  j.* EXCLUDE (_counted), a.kind AS annotator_kind, a.pseudonym AS annotator,
  a.kind = 'simulated' AS simulated,
  CASE
    WHEN j.deleted_at IS NOT NULL THEN 'deleted' WHEN j.status = 'rejected' THEN 'rejected'
    WHEN j.cannot_judge THEN 'cannot judge' WHEN j._place > 1 THEN 'a repeat'
    WHEN j._is_check THEN 'a check' WHEN j._is_excluded THEN 'of an excluded annotator'
  END AS unused,
  CASE WHEN unused IS NULL THEN j.proposition_id END AS _counted
FROM (
  SELECT *, row_number() OVER (
    PARTITION BY annotator_id, proposition_id, deleted_at IS NULL AND status <> 'rejected' AND NOT cannot_judge
    ORDER BY {REPEATS}
  ) AS _place
  FROM (
    SELECT
      *, proposition_id AS _counted, batch || ' ' || proposition_id AS _task,
      proposition_id IN (SELECT proposition_id FROM {{checks}}) AS _is_check,
      annotator_id IN (
        SELECT annotator_id FROM {{annotator_statuses}}
        GROUP BY annotator_id HAVING arg_max(status, (since, created_at, status_id)) = 'excluded'
      ) AS _is_excluded
    FROM {{judgments}}
  ) WHERE {{scope}}
) j JOIN annotators a ON a.annotator_id = j.annotator_id
"""
JUDGMENT_GROUPS = f"""
SELECT
  annotator_kind || ' ' || source AS name, annotator_kind, source, count(*) AS n,
  count(DISTINCT annotator_id) FILTER (annotator_kind NOT IN ({literals(NOBODY)})) AS n_annotators,
  count(DISTINCT proposition_id) AS n_propositions,
  bool_or(simulated) AS simulated,
  unnest(['all', 'annotator_kind=' || annotator_kind, 'source=' || source]) AS _slice
FROM ({JUDGMENTS.replace("{scope}", "true")}) WHERE unused IS NULL GROUP BY annotator_kind, source
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
REQUESTS = """
SELECT
  *, false AS simulated, CASE WHEN status <> 'answered' THEN subject_id END AS _in_vain,
  CASE WHEN purpose = 'elicit' THEN subject_id || ' ' || labeler END AS _sampled
FROM requests
"""
COMPARISONS = """
SELECT *, first_id || ' ' || second_id AS _pair, labeler || ' ' || labeler_version AS _labeler, false AS simulated
FROM {comparisons}
"""
CHOICES = """
SELECT
  *, least(higher_id, lower_id) AS _first, _first || ' ' || greatest(higher_id, lower_id) AS _pair, false AS simulated
FROM choices
"""
RECALIBRATIONS = """
SELECT *, labeler || ' ' || labeler_version AS _labeler, 'all' AS _slice, n_simulated > 0 AS simulated
FROM {recalibrations}
"""
AGREEMENT = """
SELECT
  *, n_simulated > 0 AS simulated,
  CASE WHEN slice LIKE 'annotator\\_kind=%' ESCAPE '\\' OR slice LIKE 'source=%' THEN slice ELSE 'all' END AS _slice
FROM agreement
"""
SHARDS = """
SELECT s.*, d.name || ' v' || d.version AS dataset, d.path AS folder, d.snapshot_id, d.n_simulated > 0 AS simulated
FROM shards s JOIN datasets d ON d.dataset_id = s.dataset_id
"""
MODELS = """
SELECT m.*, coalesce(d.n_simulated > 0, false) AS simulated
FROM models m LEFT JOIN datasets d ON d.dataset_id = m.dataset_id
"""
SCORES = f"SELECT s.*, coalesce(m.simulated, false) AS simulated FROM scores s LEFT JOIN ({MODELS}) m USING (model_id)"
ANNOTATORS = """
SELECT a.*, p.sd, a.kind = 'simulated' AS simulated
FROM annotators a LEFT JOIN annotator_precisions p ON p.annotator_id = a.annotator_id
"""
PREMISES = """
SELECT p.*, g.group_id, g.reason AS group_reason, false AS simulated
FROM premises p LEFT JOIN premise_groups g ON g.premise_id = p.premise_id
"""
ROWS = {
    "premise": PREMISES,
    "request": REQUESTS,
    "labeler": "SELECT *, labeler || ' ' || labeler_version AS _labeler, false AS simulated FROM labelers",
    "estimate": ESTIMATES,
    "comparison": COMPARISONS,
    "choice": CHOICES,
    "annotator": ANNOTATORS,
    "judgment": JUDGMENTS,
    "task": "SELECT *, project || ' ' || proposition_id AS _task, false AS simulated FROM tasks",
    "agreement": AGREEMENT,
    "consensus": CONSENSUS,
    "recalibration": RECALIBRATIONS,
    "shard": SHARDS,
    "model": MODELS,
    "score": SCORES,
}


def number(column: str, digits: int = 3) -> str:
    """Return SQL that prints a number with this many decimals."""
    return f"coalesce(printf('%.{digits}f', {column}), 'none')"


def many(column: str, noun: str) -> str:
    """Return SQL that prints a count with its noun, such as "1,200 rows"."""
    return f"format('{{:,}} {noun}', {column}) || if({column} = 1, '', 's')"


INTERVAL = "printf(' [%.3f, %.3f]', low, high)"
# How a row reads in one line, without its kind and id: the arguments of `concat`, which skips nulls.
LINES = {
    "premise": "'“', text, '” (', source, ', ', language, ')'",
    "proposition": "'“', hypothesis, '” (', kind, ' by ', source, ', ', split, "
    "printf(', target %.2f', target_probability), ')'",
    "request": "purpose, ' by ', labeler, ': ', model, ', prompt ', prompt, ' ', prompt_version, "
    "', ' || nullif(concat_ws(' + ', format('{:,}', tokens_in), format('{:,}', tokens_out)), '') || ' tokens', "
    "printf(', $%.4g', cost) || if(cached, ' (cached)', ''), "
    "CASE WHEN status <> 'answered' THEN concat(', ', status, ': ', reason) END",
    "labeler": "labeler, ': ', model, ' at ', endpoint, ', prompt ', prompt, ' ', prompt_version, ', ', method, ', ', "
    "if(in_use, 'in use', 'out of use since ' || strftime(changed_at, '%Y-%m-%d'))",
    "estimate": f"{number('probability')}, ' by ', labeler, ' (', method, ')', ', ' || reason",
    "verdict": f"{number('confidence')}, ' by ', judge, ' (', mode, '), of estimate ', left(estimate_id, 12), "
    "', ' || reason",
    "comparison": "left(if(more_likely_id = second_id, second_id, first_id), 12), "
    "if(more_likely_id IS NULL, ' beside ', ' above '), "
    "left(if(more_likely_id = second_id, first_id, second_id), 12), ' by ', labeler, ': none, ' || reason",
    "choice": "left(higher_id, 12), ' above ', left(lower_id, 12), ', ', source, ' ', source_id",
    "stated split": "split, ' by ', source",
    "annotator": "pseudonym, ' (', kind, ') of ', source, "
    "', group ' || annotator_group, printf(', sd %.3f around the consensus', sd)",
    "judgment": f"if(cannot_judge, 'cannot judge', {number('probability')}), ' by ', annotator, ' (', annotator_kind, "
    "'), ', strftime(coalesce(submitted_at, created_at), '%Y-%m-%d %H:%M'), ', ', source, ' ', source_id, "
    "', does not count: ' || unused",
    "task": "'number ', source_id, ' of ', project",
    "check": f"purpose, ', passes from ', {number('low')}, ' to ', {number('high')}",
    "drop": "stage, ': ', reason, ' (' || nullif(detail, '') || ')'",
    "agreement": f"metric, ' ', {number('value')}, {INTERVAL}, ' of ', scope, ', ', slice, ': ', "
    f"{many('n_judgments', 'judgment')}, ', ', {many('n_annotators', 'annotator')}, ', snapshot ', snapshot_id",
    "consensus": f"{number('mean')}, printf(' ± %.3f', sd), ' by ', method, ', of ', "
    f"{many('n_judgments', 'judgment')}, if(n_estimates > 0, ' and ' || {many('n_estimates', 'estimate')}, '')",
    "consensus fit": "if(mode = 'mean', 'mean in place of ', mode || ' fit of '), method, "
    f"', mu ', {number('mu')}, ', tau ', {number('tau')}, ', ', {many('n_judgments', 'judgment')}, ', ', "
    f"{many('n_annotators', 'annotator')}, ', snapshot ', snapshot_id",
    "recalibration": "labeler, ' ', labeler_version, ', ', if(len(estimates) = 0, 'withdrawn', 'on ' || "
    f"{many('n_propositions', 'proposition')} || ', ' || {many('n_judgments', 'judgment')}), "
    "', snapshot ', snapshot_id",
    "shard": f"path, ' of ', dataset, ', ', {many('rows', 'row')}",
    "dataset": f"name, ' v', version, ', ', {many('(n_train + n_dev + n_test)', 'row')}, "
    "', snapshot ', snapshot_id, ', ', path",
    "model": f"name, ' on ', regexp_replace(base_model, '^[/~].*/', ''), ', ', {many('steps', 'step')}, "
    "printf(', dev loss %.3f', dev_loss), ', ', path",
    "score": f"{number('score')}, ' for proposition ', left(proposition_id, 12)",
    "evaluation": f"metric, ' ', {number('value')}, {INTERVAL}, ' of ', subject, ', suite ', suite, ', ', "
    f"{many('n', 'item')}",
    "judgments": f"format('{{:,}}', n), if(n_annotators > 0, ' by ' || {many('n_annotators', 'annotator')}, ''), "
    "' of kind ', annotator_kind, ', ', "
    f"{many('n_propositions', 'proposition')}, ', ', source",
}
ORDER = {
    "judgment": "coalesce(submitted_at, created_at)",
    "judgments": "(-n, name)",
    "consensus": "method",
    "recalibration": "-snapshot_id",
    "shard": "path",
    "dataset": "-version",
    "model": "-epoch(created_at)",
    "evaluation": "(suite, subject, metric)",
}


@dataclass(frozen=True)
class Kind:
    """A kind of thing in a trace.

    Attributes:
        key: The column of its id.
        rows: The query for its rows.
        table: The table of these rows; empty if they are not rows of one table.
        line: SQL for a row in one line.
        order: SQL to sort by, ascending.
    """

    key: str
    rows: str = ""
    table: str = ""
    line: str = ""
    order: str = ""


def _kind(name: str) -> Kind:
    """The kind of this name; its record is the one that has the name in its key."""
    keys = (f"{name.replace(' ', '_')}_id", f"{name.rsplit(maxsplit=1)[-1]}_id")
    record = next(each for each in TABLES if each.key in keys)
    simulated = "n_simulated > 0" if "n_simulated" in record.model_fields else "false"
    plain = f"SELECT *, 'all' AS _slice, {simulated} AS simulated FROM {{{record.table}}}"
    rows = ROWS.get(name, plain)
    return Kind(record.key, rows, record.table, f"concat({LINES[name]})", ORDER.get(name, "created_at"))


# Besides the rows of tables: the judgments of one kind and source together, and the rows in the file of a shard.
KINDS = {name: _kind(name) for name in LINES if name != "judgments"} | {
    "judgments": Kind("name", JUDGMENT_GROUPS, line=f"concat({LINES['judgments']})", order=ORDER["judgments"]),
    "row": Kind("id"),
}
HISTORIC = ("judgments", "estimates", "verdicts", "comparisons", "recalibrations", "consensus")
DATED = ("checks", "annotator_statuses")
"""Tables that old snapshots may not have; their rows, which never change, say since when they are there."""


def as_of(query: str, snapshot: int | None) -> str:
    """Return the query with its tables in braces as they were at a snapshot; None is now."""
    for table in (record.table for record in TABLES):
        now_or_then = table
        if snapshot is not None and table in HISTORIC:
            now_or_then = f"(SELECT * FROM {table} AT (VERSION => {snapshot}))"
        elif snapshot is not None and table in DATED:
            time = f"(SELECT snapshot_time FROM ducklake_snapshots('{ALIAS}') WHERE snapshot_id = {snapshot})"
            now_or_then = f"(SELECT * FROM {table} WHERE created_at <= {time})"
        query = query.replace(f"{{{table}}}", now_or_then)
    return query

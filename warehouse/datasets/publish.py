"""The contents of a training set: consensus, panel estimates where nobody judged, and order pairs, with texts."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa

from warehouse.catalog.connect import Warehouse
from warehouse.catalog.extensions import quoted
from warehouse.records import content_id
from warehouse.shards import FORMAT_VERSION, SCHEMAS, Licence, Part, Recipe

HUMAN = """
SELECT
  p.proposition_id, p.premise_id, m.text AS premise, p.hypothesis, p.kind, p.source,
  g.split, 'human' AS origin, {weight}::DOUBLE AS weight,
  c.mean, c.sd, c.values, c.weights,
  coalesce(c.widths, list_transform(c.values, lambda v: 0.0::DOUBLE)) AS widths,
  coalesce(c.sources, list_transform(c.values, lambda v: '')) AS sources,
  c.n_judgments::INTEGER AS n_judgments, c.n_estimates::INTEGER AS n_estimates,
  c.n_simulated::INTEGER AS n_simulated
FROM consensus c
JOIN propositions p ON p.proposition_id = c.proposition_id
JOIN premises m ON m.premise_id = p.premise_id
JOIN splits g ON g.proposition_id = p.proposition_id
WHERE c.method = '{method}' AND c.n_judgments > 0
"""
# The standard error of the weighted mean; the missing mass counts as 0.5 without error.
SYNTHETIC = """
SELECT
  p.proposition_id, p.premise_id, m.text AS premise, p.hypothesis, p.kind, p.source,
  g.split, 'synthetic' AS origin, {weight}::DOUBLE AS weight,
  e.mean, e.sd * sqrt(list_sum(list_transform(e.weights, lambda w: w * w))) AS sd, e.values,
  e.weights, list_transform(e.values, lambda v: 0.0::DOUBLE) AS widths,
  list_transform(e.values, lambda v: '') AS sources,
  0 AS n_judgments, len(e.values)::INTEGER AS n_estimates, e.n_simulated::INTEGER AS n_simulated
FROM panel_distribution e
JOIN propositions p ON p.proposition_id = e.proposition_id
JOIN premises m ON m.premise_id = p.premise_id
JOIN splits g ON g.proposition_id = p.proposition_id
WHERE len(e.values) > 0
  AND e.proposition_id NOT IN (SELECT proposition_id FROM consensus WHERE method = '{method}' AND n_judgments > 0)
  AND e.proposition_id NOT IN (SELECT proposition_id FROM valid_judgments)
  AND e.proposition_id NOT IN (SELECT proposition_id FROM checks)
"""
# The order pairs of each kind: which of two propositions is higher, and who says so.
WRITTEN = """
SELECT
  proposition_id AS pair_id, kind, source,
  CASE kind WHEN 'strengthened' THEN proposition_id ELSE parent_id END AS higher_id,
  CASE kind WHEN 'strengthened' THEN parent_id ELSE proposition_id END AS lower_id
FROM propositions WHERE kind IN ('strengthened', 'weakened') AND parent_id IS NOT NULL
"""
# For each pair, the newest comparison of each labeler in the panel, if all agree.
COMPARED = """
SELECT
  first_id || '-' || second_id AS pair_id, 'compared' AS kind, string_agg(labeler, ', ' ORDER BY labeler) AS source,
  any_value(more_likely_id) AS higher_id,
  CASE any_value(more_likely_id) WHEN first_id THEN second_id ELSE first_id END AS lower_id
FROM (
  SELECT first_id, second_id, labeler, more_likely_id FROM comparisons
  WHERE (labeler, labeler_version) IN (SELECT (labeler, labeler_version) FROM labelers WHERE in_use)
    OR labeler NOT IN (SELECT labeler FROM labelers)
  QUALIFY row_number() OVER (
    PARTITION BY first_id, second_id, labeler ORDER BY created_at DESC, comparison_id
  ) = 1
)
WHERE more_likely_id IS NOT NULL GROUP BY first_id, second_id HAVING count(DISTINCT more_likely_id) = 1
"""
# The right alternatives of questions, whose premises share a group. A pair that several files have counts once, and not
# if they contradict.
CHOSEN = """
SELECT
  min(choice_id) AS pair_id, 'chosen' AS kind, string_agg(DISTINCT source, ', ' ORDER BY source) AS source,
  any_value(higher_id) AS higher_id, any_value(lower_id) AS lower_id
FROM choices GROUP BY least(higher_id, lower_id), greatest(higher_id, lower_id) HAVING count(DISTINCT higher_id) = 1
"""
PAIRS = """
SELECT
  c.pair_id, h.premise_id, g.split, c.kind, c.source, {weight}::DOUBLE AS weight,
  h.proposition_id AS higher_proposition_id, hm.text AS higher_premise, h.hypothesis AS higher_hypothesis,
  l.proposition_id AS lower_proposition_id, l.premise_id AS lower_premise_id, lm.text AS lower_premise,
  l.hypothesis AS lower_hypothesis
FROM ({pairs}) c
JOIN propositions h ON h.proposition_id = c.higher_id
JOIN propositions l ON l.proposition_id = c.lower_id
JOIN premises hm ON hm.premise_id = h.premise_id
JOIN premises lm ON lm.premise_id = l.premise_id
JOIN splits g ON g.proposition_id = h.proposition_id
"""
# Compared pairs may cross splits, and those of which one proposition was written to be likelier are strengthened or
# weakened ones already. As an equation, the condition on splits would be taken for the key of a join, and join all
# propositions of a split with each other.
OF_ONE_SPLIT = """JOIN splits gl ON gl.proposition_id = l.proposition_id
WHERE list_contains([g.split], gl.split)
  AND NOT coalesce(h.kind IN ('strengthened', 'weakened') AND h.parent_id = l.proposition_id, false)
  AND NOT coalesce(l.kind IN ('strengthened', 'weakened') AND l.parent_id = h.proposition_id, false)
"""
ORDER: dict[Part, str] = {"propositions": "premise_id, proposition_id", "pairs": "premise_id, pair_id"}


def queries(recipe: Recipe) -> dict[Part, str]:
    """Return the query of each part in the recipe, without ORDER BY."""
    weighed = ((recipe.human_weight, HUMAN), (recipe.synthetic_weight, SYNTHETIC))
    rows = [
        query.format(method=recipe.consensus, weight=_weight(recipe, weight, "p.source"))
        for weight, query in weighed
        if weight
    ]
    found: dict[Part, str] = {}
    if rows:
        found["propositions"] = "\nUNION ALL\n".join(each.strip() for each in rows)
    if recipe.pairs_weight:
        weight = _weight(recipe, recipe.pairs_weight, "c.source")
        # Labelers compared a pair, no file did: it has the plain weight.
        pairs = (
            PAIRS.format(pairs=WRITTEN, weight=weight),
            PAIRS.format(pairs=COMPARED, weight=repr(recipe.pairs_weight)) + OF_ONE_SPLIT,
            PAIRS.format(pairs=CHOSEN, weight=weight),
        )
        found["pairs"] = "\nUNION ALL\n".join(each.strip() for each in pairs)
    return found


def _weight(recipe: Recipe, weight: float, source: str) -> str:
    """Return the SQL of a row's weight: that of its part times that of its source."""
    if not recipe.source_weights:
        return repr(weight)
    factors = sorted(recipe.source_weights.items())
    named = " ".join(f"WHEN {quoted(name)} THEN {weight * factor!r}" for name, factor in factors)
    return f"CASE {source} {named} ELSE {weight!r} END"


def unknown_sources(warehouse: Warehouse, recipe: Recipe) -> list[str]:
    """Return the sources that the recipe weighs and the warehouse has nothing of."""
    rows = warehouse.rows("SELECT source FROM propositions UNION SELECT source FROM choices")
    return sorted(set(recipe.source_weights) - {source for (source,) in rows})


def publish_rows(warehouse: Warehouse, recipe: Recipe, part: Part = "propositions") -> Iterator[pa.RecordBatch]:
    """Yield the rows of a part batch by batch, sorted by premise; nothing if the recipe leaves it out."""
    query = queries(recipe).get(part)
    if query is not None:
        for batch in warehouse.batches(f"SELECT * FROM ({query}) ORDER BY {ORDER[part]}"):
            yield pa.record_batch(batch.columns, schema=SCHEMAS[part])


def licences(warehouse: Warehouse, recipe: Recipe) -> tuple[Licence, ...]:
    """Count the premises of a training set by licence and source."""
    columns: dict[Part, tuple[str, ...]] = {
        "propositions": ("premise_id",),
        "pairs": ("premise_id", "lower_premise_id"),
    }
    used = [f"SELECT {column} FROM ({query})" for part, query in queries(recipe).items() for column in columns[part]]
    if not used:
        return ()
    rows = warehouse.sql(
        "SELECT coalesce(license, 'unknown') AS licence, source, count(*) AS premises FROM premises "
        f"WHERE premise_id IN ({' UNION ALL '.join(used)}) GROUP BY ALL ORDER BY ALL"
    )
    return tuple(Licence.model_validate(row) for row in rows.to_pylist())


def dataset_fingerprint(warehouse: Warehouse, recipe: Recipe) -> str:
    """Return a hash of the content of a training set, regardless of row order, with one scan per part.

    It combines the number of rows and the sum of their 64-bit hashes. Rows include their split and weight, so groups
    and weights matter as far as they change a row.
    """
    parts = [str(FORMAT_VERSION)]
    for part, query in queries(recipe).items():
        total = "sum(md5_number_lower(to_json(r)::VARCHAR)::HUGEINT)::VARCHAR"
        ((n, hashes),) = warehouse.rows(f"SELECT count(*), {total} FROM ({query}) r")
        if n:
            parts += [part, str(n), hashes]
    return content_id("rows", *parts)

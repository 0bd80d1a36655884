"""What is still to be asked, in SQL: queries that begin with FROM, and the pages of pending estimates."""

from __future__ import annotations

# What this version has finished asking about: a reply came, and no request failed. Requests older than the column
# asker_version are matched by model and prompt version, the only things known about them.
ASKED = """
SELECT subject_id FROM requests WHERE purpose = 'propose' AND labeler = ?
  AND (asker_version = ? OR (asker_version IS NULL AND model = ? AND prompt_version = ? {more}))
GROUP BY subject_id, asker_version HAVING count(*) FILTER (status = 'failed') = 0
"""
# Premises that a proposer wrote itself. Proposing for those too would make more of them in every run.
WRITTEN = """
SELECT p.premise_id, p.source FROM propositions p JOIN propositions parent ON parent.proposition_id = p.parent_id
WHERE p.premise_id <> parent.premise_id
"""
PREMISES = f"""
FROM premises q ANTI JOIN ({ASKED.format(more="")}) a ON a.subject_id = q.premise_id
ANTI JOIN ({WRITTEN}) w ON w.premise_id = q.premise_id AND w.source = q.source
"""
ESTIMATED = "SELECT proposition_id FROM estimates WHERE labeler = ? AND labeler_version = ?"
# A table has a known size, so DuckDB keeps the page in memory and streams the estimates past it. With two subqueries it
# guesses the other way round, and a page takes 70 MB at a million estimates.
PAGE_OF_PROPOSITIONS = """
CREATE OR REPLACE TEMPORARY TABLE temp.main.page AS
SELECT proposition_id, premise_id, hypothesis FROM propositions WHERE premise_id >= ? AND premise_id < ?
"""
PAGE_OF_ESTIMATES = f"""
SELECT p.proposition_id, m.text AS premise, p.hypothesis
FROM temp.main.page p ANTI JOIN ({ESTIMATED}) e ON e.proposition_id = p.proposition_id
JOIN (SELECT premise_id, text FROM premises WHERE premise_id >= ? AND premise_id < ?) m
  ON m.premise_id = p.premise_id
ORDER BY p.premise_id, p.proposition_id
"""
# The other part of a conjunction is the premise's next proposition, in a circle. Of two propositions, only the first
# gets one, because both would make the same conjunction.
PLACED = """
SELECT
  proposition_id, premise_id, count(*) OVER one AS n,
  row_number() OVER (PARTITION BY premise_id ORDER BY proposition_id) AS place,
  coalesce(
    lead(proposition_id) OVER (PARTITION BY premise_id ORDER BY proposition_id), min(proposition_id) OVER one
  ) AS other_id
FROM propositions WHERE kind IN ('proposed', 'imported') WINDOW one AS (PARTITION BY premise_id)
"""
PARENTS = f"""
FROM ({PLACED}) q ANTI JOIN ({ASKED.format(more="AND prompt = ?")}) a ON a.subject_id = q.proposition_id
WHERE NOT ? OR q.n > 2 OR (q.n = 2 AND q.place = 1)
"""
DISAGREEMENTS = """
FROM (
  SELECT e.proposition_id, list(e.estimate_id ORDER BY e.labeler) AS estimate_ids
  FROM current_estimates e LEFT JOIN (
    SELECT estimate_id FROM verdicts WHERE judge = ? AND judge_version = ?
  ) v ON v.estimate_id = e.estimate_id
  WHERE e.in_panel AND e.probability IS NOT NULL AND list_contains(?::VARCHAR[], e.labeler)
  GROUP BY e.proposition_id
  HAVING max(e.probability) - min(e.probability) > ? AND count(v.estimate_id) < count(*)
) q JOIN propositions p ON p.proposition_id = q.proposition_id
"""
COMPARISONS = """
FROM (
  WITH placed AS (
    SELECT
      proposition_id, premise_id, count(*) OVER (PARTITION BY premise_id) AS n,
      row_number() OVER (PARTITION BY premise_id ORDER BY proposition_id) - 1 AS place
    FROM propositions
  ), beside AS (
    SELECT one.proposition_id AS a, other.proposition_id AS b
    FROM (SELECT *, unnest(range(1, least(?::BIGINT, n - 1) + 1)) AS step FROM placed WHERE n > 1) one
    JOIN placed other ON other.premise_id = one.premise_id AND other.place = (one.place + one.step) % one.n
    UNION ALL
    SELECT proposition_id, parent_id FROM propositions
    WHERE kind IN ('strengthened', 'weakened') AND parent_id IN (SELECT proposition_id FROM propositions)
  )
  SELECT DISTINCT least(a, b) AS first_id, greatest(a, b) AS second_id FROM beside
) q JOIN propositions p ON p.proposition_id = q.first_id ANTI JOIN (
  SELECT first_id, second_id FROM comparisons WHERE labeler = ? AND labeler_version = ?
) done ON done.first_id = q.first_id AND done.second_id = q.second_id
"""

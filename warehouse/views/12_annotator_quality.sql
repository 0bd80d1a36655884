-- How each annotator judges beside the others. Correlations below ten propositions say little and are null.
-- annotator_id: The annotator, by its id in annotators.
-- kind: human, simulated (made up by a program) or imported.
-- name: A name to show; null without one.
-- status: active, or paused.
-- n_judgments: Valid judgments (count).
-- n_simulated: How many of them are simulated: all of a simulated annotator's, none of another's (count).
-- n_cannot_judge: Times the annotator said "cannot judge" (count).
-- n_rejected: Judgments that their source rejected (count).
-- n_compared: Valid judgments on propositions that others judged too (count).
-- pearson_with_rest: Correlation with the mean of the others' judgments (Pearson, -1 to 1); null below ten.
-- mean_difference: The mean of judgment minus the others' mean, in [-1, 1]: the annotator's bias; null without others.
-- share_at_ends: The share of judgments at exactly 0 or 1, in [0, 1].
-- share_at_half: The share of judgments at exactly 0.5, in [0, 1].
-- median_lead_time_s: The median time spent on a judgment (seconds); null where unknown.
CREATE VIEW annotator_quality AS
WITH compared AS (
  SELECT
    annotator_id, probability, is_simulated, lead_time_s, count(*) OVER same AS m,
    (sum(probability) OVER same - probability) / nullif(count(*) OVER same - 1, 0) AS rest
  FROM valid_judgments
  WINDOW same AS (PARTITION BY proposition_id)
), valid AS (
  SELECT
    annotator_id, count(*) AS n, count(*) FILTER (is_simulated) AS simulated, count(rest) AS n_compared,
    CASE WHEN count(rest) >= 10 AND var_pop(probability) > 0 AND var_pop(rest) > 0 THEN corr(probability, rest) END AS r,
    avg(probability - rest) AS difference, avg((probability IN (0, 1))::DOUBLE) AS ends,
    avg((probability = 0.5)::DOUBLE) AS half, median(lead_time_s) AS lead_time_s
  FROM compared GROUP BY annotator_id
), every AS (
  SELECT
    annotator_id, count(*) FILTER (cannot_judge) AS cannot_judge, count(*) FILTER (status = 'rejected') AS rejected
  FROM judgments WHERE deleted_at IS NULL GROUP BY annotator_id
)
SELECT
  a.annotator_id, a.kind, a.name, a.status, coalesce(v.n, 0) AS n_judgments, coalesce(v.simulated, 0) AS n_simulated,
  coalesce(e.cannot_judge, 0) AS n_cannot_judge, coalesce(e.rejected, 0) AS n_rejected,
  coalesce(v.n_compared, 0) AS n_compared, v.r AS pearson_with_rest, v.difference AS mean_difference,
  v.ends AS share_at_ends, v.half AS share_at_half, v.lead_time_s AS median_lead_time_s
FROM annotators a
LEFT JOIN valid v ON v.annotator_id = a.annotator_id
LEFT JOIN every e ON e.annotator_id = a.annotator_id;

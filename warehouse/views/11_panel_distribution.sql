-- The panel's estimates for a proposition together: each labeler's value with its weight, and the missing share.
-- The panel: the labelers in the settings when odds elicit last ran, in their versions then, and labelers unknown to the table labelers.
-- Estimators in the panel are left out: synthetic rows of training sets come from here, and no estimator should learn from its own answers.
-- proposition_id: The proposition, by its id in propositions.
-- labelers: The labelers of the panel that gave a probability, by name.
-- values: The value of each, recalibrated if its version has a recalibration, in [0, 1].
-- is_recalibrated: Whether each of the values is recalibrated.
-- weights: The weight of each value, in [0, 1]: proportional to the judge's confidence^2 + 1e-6; they sum to 1 - missing.
-- missing: The share of the labelers asked that gave no probability, in [0, 1]; its mass goes to the uniform distribution.
-- mean: The weighted sum of the values plus missing * 0.5, in [0, 1]; null if no labeler gave a probability.
-- sd: The weighted sample standard deviation of the values (a probability); null for fewer than two.
-- range: The highest minus the lowest value, in [0, 1]; null without any.
-- n_labelers: The labelers of the panel that were asked, including those that gave no probability (count).
-- n_verdicts: The values with a confidence from the judge (count); the others get the mean weight, and all the same if there are none.
-- n_simulated: The values whose recalibration is based on simulated judgments (count).
-- judge: The judge whose verdicts count: the one with the most recent confidence; null without verdicts.
-- judge_version: The version of that judge; null without verdicts.
CREATE VIEW panel_distribution AS
WITH trusted AS (
  -- Confidences of two judges are not comparable, so only the newest judge of a proposition counts.
  SELECT estimate_id, judge, judge_version, confidence FROM verdicts
  SEMI JOIN (SELECT estimate_id FROM current_estimates WHERE in_panel) USING (estimate_id)
  WHERE confidence IS NOT NULL
  QUALIFY judge || ' ' || judge_version = first_value(judge || ' ' || judge_version) OVER (
    PARTITION BY proposition_id ORDER BY created_at DESC, verdict_id
  )
), answers AS (
  SELECT
    e.proposition_id, e.labeler, e.probability, r.recalibrated, coalesce(r.is_simulated, false) AS is_simulated,
    v.confidence * v.confidence + 1e-6 AS square, v.judge, v.judge_version
  FROM current_estimates e
  LEFT JOIN recalibrated_estimates r ON r.estimate_id = e.estimate_id
  LEFT JOIN trusted v ON v.estimate_id = e.estimate_id
  WHERE e.in_panel AND e.method <> 'estimator'
), panel AS (
  SELECT
    proposition_id, count(*) AS n_labelers, 1 - count(probability) / count(*) AS missing,
    coalesce(list(labeler ORDER BY labeler) FILTER (probability IS NOT NULL), []) AS labelers,
    coalesce(list(coalesce(recalibrated, probability) ORDER BY labeler) FILTER (probability IS NOT NULL), []) AS vals,
    coalesce(list(recalibrated IS NOT NULL ORDER BY labeler) FILTER (probability IS NOT NULL), []) AS is_recalibrated,
    coalesce(list(square ORDER BY labeler) FILTER (probability IS NOT NULL), []) AS squares,
    count(*) FILTER (probability IS NOT NULL AND square IS NOT NULL) AS n_verdicts,
    count(*) FILTER (probability IS NOT NULL AND is_simulated) AS n_simulated,
    max(judge) AS judge, max(judge_version) AS judge_version
  FROM answers GROUP BY proposition_id
), filled AS (
  SELECT *, list_transform(squares, lambda s: coalesce(s, list_avg(squares), 1.0)) AS known FROM panel
), weighed AS (
  -- Sums over sorted lists do not depend on the order in which rows are read.
  SELECT *, list_transform(known, lambda s: s / list_sum(known)) AS parts FROM filled
), centred AS (
  SELECT *, list_sum(list_transform(vals, lambda v, i: v * parts[i])) AS centre FROM weighed
)
SELECT
  proposition_id, labelers, vals AS "values", is_recalibrated,
  list_transform(parts, lambda p: p * (1 - missing)) AS weights, missing,
  centre * (1 - missing) + missing * 0.5 AS mean,
  CASE WHEN len(vals) > 1 THEN sqrt(
    list_sum(list_transform(vals, lambda v, i: parts[i] * (v - centre) * (v - centre)))
    / (1 - list_sum(list_transform(parts, lambda p: p * p)))
  ) END AS sd,
  list_max(vals) - list_min(vals) AS range, n_labelers, n_verdicts, n_simulated, judge, judge_version
FROM centred;

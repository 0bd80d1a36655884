-- How each labeler's estimates compare with the mean of the valid judgments.
-- labeler: The labeler, by name.
-- labeler_version: Its version: it changes with its prompt or settings.
-- method: How it was asked.
-- n_estimates: Propositions that it gave a probability for (count).
-- n_without: Propositions that it gave none for; the reasons stand in estimates (count).
-- n_distinct: Different probabilities that it gave (count): few mean a coarse labeler.
-- n_judged: Its estimates on propositions with at least one valid judgment: what the figures below rest on (count).
-- n_judgments: The valid judgments on those (count).
-- n_simulated: How many of those judgments come from simulated annotators (count).
-- pearson: Correlation with the mean judgment (Pearson, -1 to 1); null below three or without variance.
-- mean_absolute_error: The mean distance from the mean judgment, in [0, 1]; null without judgments.
-- mean_difference: The mean of estimate minus mean judgment, in [-1, 1]: the labeler's bias; null without judgments.
CREATE VIEW labeler_quality AS
WITH judged AS (
  SELECT proposition_id, avg(probability) AS mean, count(*) AS n, count(*) FILTER (is_simulated) AS simulated
  FROM valid_judgments GROUP BY proposition_id
), pairs AS (
  SELECT
    e.labeler, e.labeler_version, e.method, e.probability, j.mean, j.n, j.simulated,
    e.probability IS NOT NULL AND j.mean IS NOT NULL AS both_known
  FROM estimates e
  LEFT JOIN judged j ON j.proposition_id = e.proposition_id
)
SELECT
  labeler, labeler_version, method, count(probability) AS n_estimates, count(*) - count(probability) AS n_without,
  count(DISTINCT probability) AS n_distinct, count(*) FILTER (both_known) AS n_judged,
  coalesce(sum(n) FILTER (both_known), 0)::BIGINT AS n_judgments,
  coalesce(sum(simulated) FILTER (both_known), 0)::BIGINT AS n_simulated,
  CASE
    WHEN count(*) FILTER (both_known) > 2
      AND var_pop(probability) FILTER (both_known) > 0 AND var_pop(mean) FILTER (both_known) > 0
    THEN corr(probability, mean) FILTER (both_known)
  END AS pearson,
  avg(abs(probability - mean)) FILTER (both_known) AS mean_absolute_error,
  avg(probability - mean) FILTER (both_known) AS mean_difference
FROM pairs
GROUP BY labeler, labeler_version, method;

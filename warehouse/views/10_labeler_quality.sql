-- The granularity, accuracy and cost of each labeler version.
-- labeler: The labeler, by name.
-- labeler_version: Its version, which changes with its prompt or settings.
-- method: The elicitation method: verbalised, scale20, token, mean_of_samples or pairwise; estimator for an estimator in the panel.
-- n_estimates: Propositions with a probability from it (count); 0 for the method pairwise.
-- n_comparisons: Pairs that it ordered consistently in both orders (count); 0 for every other method.
-- n_without: Propositions or pairs without a usable answer (count); see estimates and comparisons for the reasons.
-- refusal_rate: n_without as a share of everything asked, in [0, 1].
-- n_distinct: Distinct probabilities, to six digits (count); few mean a coarse labeler.
-- distinct_share: n_distinct / n_estimates, in (0, 1]; null without estimates.
-- top3_mass: The share of the estimates on its three most frequent values, in (0, 1]; null without estimates.
-- entropy_share: The entropy of its values divided by log n_estimates: 1 if all differ, 0 if all are equal; null below two.
-- share_multiples_of_5: The share of the estimates on multiples of 0.05 (to 1e-9), in [0, 1]; null without estimates.
-- excess_multiples_of_5: share_multiples_of_5 minus 21/101, its value for answers spread evenly over 0.00, 0.01 ... 1.00.
-- n_judged: Estimates on propositions with a valid judgment (of an estimator, which was trained on others, only those of the test split), or ordered pairs whose mean judgments differ (count); the basis of the figures below.
-- n_judgments: Valid judgments on those (count).
-- n_simulated: How many of those judgments come from simulated annotators (count).
-- pearson: Correlation with the mean judgment (Pearson, -1 to 1); null below three or without variance.
-- spearman: Rank correlation with the mean judgment, ties by mean rank (Spearman, -1 to 1); null like pearson.
-- mean_absolute_error: The mean distance from the mean judgment, in [0, 1]; null without judgments.
-- mean_difference: The mean of estimate minus mean judgment, in [-1, 1]: the labeler's bias; null without judgments.
-- calibration_error: The mean of |mean estimate - mean judgment| over ten bins of equal mass, weighted by their size, in [0, 1]; equal estimates share the bin of their mean rank; null below ten.
-- n_held_out: Current estimates with a recalibration on judged test propositions, which it was not fitted on (count).
-- calibration_error_held_out: calibration_error on these, as the labeler gave them; null below ten.
-- calibration_error_recalibrated: The same after recalibration; null below ten.
-- is_recalibration_simulated: Whether the recalibration is based on simulated judgments; null if n_held_out is 0.
-- share_in_order: Of the ordered pairs whose mean judgments differ, the share ordered like these, in [0, 1]; null if there are none.
-- n_requests: Requests made for it, including retries and samples (count).
-- n_cached: Requests whose reply another request paid for (count).
-- tokens_per_estimate: Tokens in and out of all these requests per usable answer (n_estimates + n_comparisons); null if there is none.
-- cost: The cost of these requests, including refused replies (in the currency of the prices in the settings); null if nothing is known.
-- n_unpriced: Paid replies with an unknown price, which cost leaves out (count).
-- cost_per_estimate: cost per usable answer (in the same currency); null if there is none or a price is unknown.
-- in_panel: Whether its answers count in the panel: the version is in use, or its labeler is unknown to the table labelers.
CREATE VIEW labeler_quality AS
WITH judged AS (
  SELECT proposition_id, avg(probability) AS mean, count(*) AS n, count(*) FILTER (is_simulated) AS simulated
  FROM valid_judgments GROUP BY proposition_id
), versions AS (
  SELECT
    labeler, labeler_version, min(method) AS method, count(probability) AS n_estimates, 0 AS n_comparisons,
    count(*) - count(probability) AS n_without,
    avg((abs(probability * 20 - round(probability * 20)) < 20e-9)::DOUBLE) AS on_fives
  FROM estimates GROUP BY labeler, labeler_version
  UNION ALL
  SELECT
    labeler, labeler_version, 'pairwise', 0, count(more_likely_id), count(*) - count(more_likely_id), NULL
  FROM comparisons GROUP BY labeler, labeler_version
), given AS (
  SELECT labeler, labeler_version, count(*) AS m FROM estimates WHERE probability IS NOT NULL
  GROUP BY labeler, labeler_version, round(probability, 6)
), coarse AS (
  SELECT
    labeler, labeler_version, count(*) AS n_distinct, list_sum((list(m ORDER BY m DESC))[1:3]) / sum(m) AS top3,
    CASE WHEN sum(m) > 1 THEN 1 - sum(m * ln(m)) / (sum(m) * ln(sum(m))) END AS entropy
  FROM given GROUP BY labeler, labeler_version
), held_out AS (
  SELECT e.labeler, e.labeler_version, e.probability, e.recalibrated, e.is_simulated, j.mean
  FROM recalibrated_estimates e
  JOIN judged j ON j.proposition_id = e.proposition_id
  JOIN splits s ON s.proposition_id = e.proposition_id
  WHERE e.recalibration_id IS NOT NULL AND s.split = 'test'
), pairs AS (
  SELECT 'all' AS part, e.labeler, e.labeler_version, e.probability AS x, j.mean AS y, j.n, j.simulated
  FROM estimates e JOIN judged j ON j.proposition_id = e.proposition_id
  WHERE e.probability IS NOT NULL
    AND (e.method <> 'estimator' OR e.proposition_id IN (SELECT proposition_id FROM splits WHERE split = 'test'))
  UNION ALL SELECT 'held out', labeler, labeler_version, probability, mean, 0, 0 FROM held_out
  UNION ALL SELECT 'recalibrated', labeler, labeler_version, recalibrated, mean, 0, 0 FROM held_out
), ranked AS (
  -- Mean judgments that agree to 12 digits are equal: they may differ by the order of summation.
  SELECT
    *, count(*) OVER own AS total,
    rank() OVER (own ORDER BY x) + (count(*) OVER (PARTITION BY part, labeler, labeler_version, x) - 1) / 2 AS rank_x,
    rank() OVER (own ORDER BY round(y, 12))
      + (count(*) OVER (PARTITION BY part, labeler, labeler_version, round(y, 12)) - 1) / 2 AS rank_y
  FROM pairs
  WINDOW own AS (PARTITION BY part, labeler, labeler_version)
), bins AS (
  SELECT part, labeler, labeler_version, count(*) AS n, abs(sum(x) - sum(y)) AS apart
  FROM ranked GROUP BY part, labeler, labeler_version, floor((rank_x - 0.5) / total * 10)
), calibration AS (
  SELECT
    labeler, labeler_version, coalesce(sum(n) FILTER (part = 'held out'), 0)::BIGINT AS n_held_out,
    sum(apart) FILTER (part = 'all') / sum(n) FILTER (part = 'all') AS every,
    sum(apart) FILTER (part = 'held out') / sum(n) FILTER (part = 'held out') AS raw,
    sum(apart) FILTER (part = 'recalibrated') / sum(n) FILTER (part = 'recalibrated') AS recalibrated
  FROM bins GROUP BY labeler, labeler_version
), fits AS (
  SELECT labeler, labeler_version, bool_or(is_simulated) AS is_simulated FROM held_out GROUP BY labeler, labeler_version
), beside AS (
  SELECT
    labeler, labeler_version, count(*) AS n, sum(n)::BIGINT AS n_judgments, sum(simulated)::BIGINT AS simulated,
    CASE WHEN count(*) > 2 AND var_pop(x) > 0 AND var_pop(y) > 0 THEN corr(x, y) END AS pearson,
    CASE WHEN count(*) > 2 AND var_pop(rank_x) > 0 AND var_pop(rank_y) > 0 THEN corr(rank_x, rank_y) END AS spearman,
    avg(abs(x - y)) AS error, avg(x - y) AS difference
  FROM ranked WHERE part = 'all' GROUP BY labeler, labeler_version
), compared AS (
  SELECT
    c.labeler, c.labeler_version, c.first_id, c.second_id, (f.mean > s.mean) = (c.more_likely_id = c.first_id) AS in_order
  FROM comparisons c
  JOIN judged f ON f.proposition_id = c.first_id
  JOIN judged s ON s.proposition_id = c.second_id
  WHERE c.more_likely_id IS NOT NULL AND round(f.mean - s.mean, 12) <> 0
), ordered AS (
  SELECT labeler, labeler_version, count(*) AS n, avg(in_order::DOUBLE) AS share
  FROM compared GROUP BY labeler, labeler_version
), seen AS (
  SELECT labeler, labeler_version, first_id AS proposition_id FROM compared
  UNION SELECT labeler, labeler_version, second_id FROM compared
), ordered_on AS (
  SELECT labeler, labeler_version, sum(n)::BIGINT AS n_judgments, sum(simulated)::BIGINT AS simulated
  FROM seen JOIN judged USING (proposition_id) GROUP BY labeler, labeler_version
), spent AS (
  SELECT
    c.labeler, c.labeler_version, count(*) AS n, count(*) FILTER (r.cached) AS cached,
    sum(coalesce(r.tokens_in, 0) + coalesce(r.tokens_out, 0)) FILTER (r.tokens_in + r.tokens_out IS NOT NULL) AS tokens,
    sum(c.paid) AS cost, count(*) FILTER (c.is_unpriced) AS unpriced
  FROM request_costs c JOIN requests r ON r.request_id = c.request_id
  WHERE c.labeler_version IS NOT NULL GROUP BY c.labeler, c.labeler_version
)
SELECT
  v.labeler, v.labeler_version, v.method, v.n_estimates, v.n_comparisons, v.n_without,
  v.n_without / (v.n_without + v.n_estimates + v.n_comparisons) AS refusal_rate,
  coalesce(d.n_distinct, 0) AS n_distinct, d.n_distinct / v.n_estimates AS distinct_share, d.top3 AS top3_mass,
  d.entropy AS entropy_share, v.on_fives AS share_multiples_of_5, v.on_fives - 21 / 101 AS excess_multiples_of_5,
  coalesce(b.n, o.n, 0) AS n_judged, coalesce(b.n_judgments, s.n_judgments, 0) AS n_judgments,
  coalesce(b.simulated, s.simulated, 0) AS n_simulated, b.pearson, b.spearman, b.error AS mean_absolute_error,
  b.difference AS mean_difference, CASE WHEN b.n >= 10 THEN k.every END AS calibration_error,
  coalesce(k.n_held_out, 0) AS n_held_out, CASE WHEN k.n_held_out >= 10 THEN k.raw END AS calibration_error_held_out,
  CASE WHEN k.n_held_out >= 10 THEN k.recalibrated END AS calibration_error_recalibrated,
  f.is_simulated AS is_recalibration_simulated, o.share AS share_in_order, coalesce(p.n, 0) AS n_requests,
  coalesce(p.cached, 0) AS n_cached, p.tokens / nullif(v.n_estimates + v.n_comparisons, 0) AS tokens_per_estimate,
  CASE WHEN v.method = 'estimator' THEN 0 ELSE p.cost END AS cost, coalesce(p.unpriced, 0) AS n_unpriced,
  CASE WHEN v.method = 'estimator' THEN 0 WHEN p.unpriced = 0 THEN p.cost / nullif(v.n_estimates + v.n_comparisons, 0) END AS cost_per_estimate,
  coalesce(l.in_use, v.labeler NOT IN (SELECT labeler FROM labelers)) AS in_panel
FROM versions v
LEFT JOIN labelers l ON l.labeler = v.labeler AND l.labeler_version = v.labeler_version
LEFT JOIN coarse d ON d.labeler = v.labeler AND d.labeler_version = v.labeler_version
LEFT JOIN beside b ON b.labeler = v.labeler AND b.labeler_version = v.labeler_version
LEFT JOIN calibration k ON k.labeler = v.labeler AND k.labeler_version = v.labeler_version
LEFT JOIN fits f ON f.labeler = v.labeler AND f.labeler_version = v.labeler_version
LEFT JOIN ordered o ON o.labeler = v.labeler AND o.labeler_version = v.labeler_version
LEFT JOIN ordered_on s ON s.labeler = v.labeler AND s.labeler_version = v.labeler_version
LEFT JOIN spent p ON p.labeler = v.labeler AND p.labeler_version = v.labeler_version;

-- Propositions with at least two valid judgments, how far these differ, and how; sort by sd for the most disputed.
-- proposition_id: The proposition, by its id in propositions.
-- premise: The text taken as true.
-- hypothesis: The statement whose probability is judged.
-- n_judgments: Valid judgments (count).
-- n_simulated: How many of them come from simulated annotators (count).
-- mean: The mean of the valid judgments, in [0, 1].
-- sd: Their sample standard deviation (a probability).
-- lowest: The lowest of them, in [0, 1].
-- highest: The highest of them, in [0, 1].
-- share_above_half: The share of them above 0.5, in [0, 1].
-- kind: How they differ, from five judgments on, else null. camps: two groups with means of their own explain the judgments better than one (evidence above 0), and the smaller group has two judgments or more, and a tenth of them. outlier: so does a smaller group. little: one group, with an sd below 0.1. spread: one group, further apart.
-- evidence: The BIC of one normal distribution minus that of two with a common variance, where the cut of the sorted judgments with the largest classification likelihood makes the groups; above 0 for two. An SD below 0.05 counts as 0.05. Null below five judgments.
-- lower_mean: The mean of the lower group of that cut, in [0, 1]; null below five judgments.
-- upper_mean: The mean of the upper group, in [0, 1]; null below five judgments.
-- share_upper: The share of the judgments in the upper group, in [0, 1]; null below five judgments.
-- estimate_mean: The mean of the panel's probabilities, in [0, 1]; null if there is none.
-- difference: estimate_mean minus mean, in [-1, 1]; null without estimates.
CREATE VIEW disagreement AS
WITH judged AS (
  SELECT
    proposition_id, stddev_samp(probability) AS sd, min(probability) AS lowest, max(probability) AS highest,
    avg((probability > 0.5)::DOUBLE) AS share_above_half
  FROM valid_judgments GROUP BY proposition_id HAVING count(*) > 1
), sums AS (
  -- k, s and q: number, sum and sum of squares of the judgments up to this one; n, total and squares: of all
  SELECT
    proposition_id, row_number() OVER below AS k, sum(probability) OVER below AS s,
    sum(probability * probability) OVER below AS q, count(*) OVER every AS n, sum(probability) OVER every AS total,
    sum(probability * probability) OVER every AS squares
  FROM valid_judgments
  WINDOW every AS (PARTITION BY proposition_id),
    below AS (PARTITION BY proposition_id ORDER BY probability ROWS UNBOUNDED PRECEDING)
), cuts AS (
  -- -2 log likelihood without constants: n log variance, and for groups what their sizes add
  SELECT
    proposition_id, k, n, s / k AS lower_mean, (total - s) / (n - k) AS upper_mean,
    n * ln(greatest((squares - total * total / n) / n, 0.0025)) AS one,
    n * ln(greatest((squares - s * s / k - (total - s) ** 2 / (n - k)) / n, 0.0025))
      + 2 * (k * ln(n / k) + (n - k) * ln(n / (n - k))) AS two
  FROM sums WHERE k < n AND n >= 5
), camps AS (
  -- two groups have two parameters more: a mean and a share
  SELECT
    proposition_id, max(one) - min(two) - 2 * ln(max(n)) AS evidence, arg_min(lower_mean, two) AS lower_mean,
    arg_min(upper_mean, two) AS upper_mean, arg_min((n - k) / n, two) AS share_upper, max(n) AS n
  FROM cuts GROUP BY proposition_id
)
SELECT
  o.proposition_id, o.premise, o.hypothesis, o.n_judgments, o.n_simulated, o.judgment_mean AS mean, j.sd, j.lowest,
  j.highest, j.share_above_half,
  CASE
    WHEN c.evidence IS NULL THEN NULL
    WHEN c.evidence > 0 AND least(c.share_upper, 1 - c.share_upper) > greatest(1.5 / c.n, 0.0999) THEN 'camps'
    WHEN c.evidence > 0 THEN 'outlier'
    WHEN j.sd < 0.1 THEN 'little'
    ELSE 'spread'
  END AS kind,
  c.evidence, c.lower_mean, c.upper_mean, c.share_upper, o.estimate_mean, o.estimate_mean - o.judgment_mean AS difference
FROM judged j
JOIN proposition_overview o ON o.proposition_id = j.proposition_id
LEFT JOIN camps c ON c.proposition_id = j.proposition_id;

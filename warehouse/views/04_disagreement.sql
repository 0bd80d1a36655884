-- Propositions with at least two valid judgments, and how far these differ; sort by sd for the most disputed.
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
-- estimate_mean: The mean of the panel's probabilities, in [0, 1]; null if there is none.
-- difference: estimate_mean minus mean, in [-1, 1]; null without estimates.
CREATE VIEW disagreement AS
WITH judged AS (
  SELECT
    proposition_id, stddev_samp(probability) AS sd, min(probability) AS lowest, max(probability) AS highest,
    avg((probability > 0.5)::DOUBLE) AS share_above_half
  FROM valid_judgments GROUP BY proposition_id HAVING count(*) > 1
)
SELECT
  o.proposition_id, o.premise, o.hypothesis, o.n_judgments, o.n_simulated, o.judgment_mean AS mean, j.sd, j.lowest,
  j.highest, j.share_above_half, o.estimate_mean, o.estimate_mean - o.judgment_mean AS difference
FROM judged j
JOIN proposition_overview o ON o.proposition_id = j.proposition_id;

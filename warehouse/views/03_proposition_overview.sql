-- Everything known about a proposition in one row. Figures use valid_judgments.
-- proposition_id: The proposition, by its id in propositions.
-- premise: The text taken as true.
-- hypothesis: The statement whose probability is judged.
-- kind: How it was made: proposed, imported, negation, paraphrase, strengthened, weakened, conjunction or rewritten.
-- source: Where it came from.
-- split: Its split in the view splits: train, dev or test.
-- target_probability: The probability that the proposer aimed at or an import gave, in [0, 1]; null if there is none.
-- n_estimates: Labelers of the panel that gave a probability (count); the panel is in_panel in current_estimates.
-- estimate_mean: The mean of their probabilities, in [0, 1]; null if there is none.
-- estimate_range: The highest minus the lowest of them, in [0, 1]; null if there is none.
-- n_judgments: Valid judgments (count).
-- n_simulated: How many of them come from simulated annotators (count).
-- judgment_mean: The mean of the valid judgments, in [0, 1]; null if there is none.
-- judgment_sd: Their sample standard deviation (a probability); null for fewer than two.
-- consensus_mean: The consensus by the method em, in [0, 1]; null before it is computed.
-- consensus_sd: Its posterior standard deviation (a probability); null before it is computed.
CREATE VIEW proposition_overview AS
WITH estimated AS (
  SELECT proposition_id, count(probability) AS n, avg(probability) AS mean, max(probability) - min(probability) AS width
  FROM current_estimates WHERE in_panel GROUP BY proposition_id
), judged AS (
  SELECT
    proposition_id, count(*) AS n, count(*) FILTER (is_simulated) AS simulated, avg(probability) AS mean,
    CASE WHEN count(*) > 1 THEN stddev_samp(probability) END AS sd
  FROM valid_judgments GROUP BY proposition_id
)
SELECT
  p.proposition_id, m.text AS premise, p.hypothesis, p.kind, p.source, s.split, p.target_probability,
  coalesce(e.n, 0) AS n_estimates, e.mean AS estimate_mean, e.width AS estimate_range,
  coalesce(j.n, 0) AS n_judgments, coalesce(j.simulated, 0) AS n_simulated,
  j.mean AS judgment_mean, j.sd AS judgment_sd, c.mean AS consensus_mean, c.sd AS consensus_sd
FROM propositions p
JOIN premises m ON m.premise_id = p.premise_id
JOIN splits s ON s.proposition_id = p.proposition_id
LEFT JOIN estimated e ON e.proposition_id = p.proposition_id
LEFT JOIN judged j ON j.proposition_id = p.proposition_id
LEFT JOIN consensus c ON c.proposition_id = p.proposition_id AND c.method = 'em';

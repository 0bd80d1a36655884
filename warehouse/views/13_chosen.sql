-- Propositions that odds select chose and that have no new judgment since, one row per rule.
-- proposition_id: The proposition, by its id in propositions.
-- premise: The text taken as true.
-- hypothesis: The statement whose probability is judged.
-- split: Its split in the view splits: train, dev or test.
-- rule: Why it was chosen, as in selections.
-- value: How much it was in doubt, in the unit of the rule, as in selections.
-- n_judgments: Valid judgments (count).
-- n_simulated: How many of them come from simulated annotators (count).
-- model_id: The estimator that the rule used, as in selections; null without one.
-- chosen_at: When it was first chosen with this number of judgments (UTC).
CREATE VIEW chosen AS
WITH judged AS (
  SELECT proposition_id, count(*) AS n, count(*) FILTER (is_simulated) AS simulated
  FROM valid_judgments GROUP BY proposition_id
)
SELECT
  c.proposition_id, m.text AS premise, p.hypothesis, s.split, c.rule, c.value, coalesce(j.n, 0) AS n_judgments,
  coalesce(j.simulated, 0) AS n_simulated, c.model_id, c.created_at AS chosen_at
FROM selections c
JOIN propositions p ON p.proposition_id = c.proposition_id
JOIN premises m ON m.premise_id = p.premise_id
JOIN splits s ON s.proposition_id = p.proposition_id
LEFT JOIN judged j ON j.proposition_id = c.proposition_id
WHERE coalesce(j.n, 0) <= c.n_judgments
QUALIFY row_number() OVER (PARTITION BY c.proposition_id, c.rule ORDER BY c.n_judgments DESC, c.created_at DESC) = 1;

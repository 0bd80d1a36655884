-- The progress of the work: the rows of each stage, and how many are simulated or based on simulated judgments.
-- position: The position of the stage, from 1.
-- stage: The stage.
-- n: Rows (count).
-- n_simulated: Rows that are simulated or based on at least one simulated judgment (count).
CREATE VIEW progress AS
SELECT 1 AS position, 'premises' AS stage, count(*) AS n, 0 AS n_simulated FROM premises
UNION ALL SELECT 2, 'propositions', count(*), 0 FROM propositions
UNION ALL SELECT 3, 'requests answered', count(*), 0 FROM requests WHERE status = 'answered'
UNION ALL SELECT 4, 'requests refused', count(*), 0 FROM requests WHERE status = 'refused'
UNION ALL SELECT 5, 'requests failed', count(*), 0 FROM requests WHERE status = 'failed'
UNION ALL SELECT 6, 'estimates', count(*), 0 FROM estimates WHERE probability IS NOT NULL
UNION ALL SELECT 7, 'estimates without a probability', count(*), 0 FROM estimates WHERE probability IS NULL
UNION ALL SELECT 8, 'verdicts', count(*), 0 FROM verdicts WHERE confidence IS NOT NULL
UNION ALL SELECT 9, 'verdicts without a confidence', count(*), 0 FROM verdicts WHERE confidence IS NULL
UNION ALL SELECT 10, 'comparisons', count(*), 0 FROM comparisons WHERE more_likely_id IS NOT NULL
UNION ALL SELECT 11, 'comparisons without an order', count(*), 0 FROM comparisons WHERE more_likely_id IS NULL
UNION ALL SELECT 12, 'tasks', count(*), 0 FROM tasks
UNION ALL SELECT 13, 'annotators', count(*), count(*) FILTER (kind = 'simulated') FROM annotators
WHERE kind NOT IN ('aggregate', 'anonymous')
UNION ALL
SELECT 14, 'judgments', count(*), count(*) FILTER (a.kind = 'simulated')
FROM judgments j JOIN annotators a ON a.annotator_id = j.annotator_id WHERE j.deleted_at IS NULL
UNION ALL SELECT 15, 'valid judgments', count(*), count(*) FILTER (is_simulated) FROM valid_judgments
UNION ALL SELECT 16, 'choices', count(*), 0 FROM choices
UNION ALL SELECT 17, 'agreement figures', count(*), count(*) FILTER (n_simulated > 0) FROM agreement
UNION ALL
SELECT 18, 'propositions with a consensus', count(DISTINCT proposition_id),
  count(DISTINCT proposition_id) FILTER (n_simulated > 0) FROM consensus
UNION ALL SELECT 19, 'datasets', count(*), count(*) FILTER (n_simulated > 0) FROM datasets
UNION ALL
SELECT 20, 'models', count(*), count(*) FILTER (d.n_simulated > 0)
FROM models m LEFT JOIN datasets d ON d.dataset_id = m.dataset_id WHERE m.deleted_at IS NULL
UNION ALL
SELECT 21, 'scores', count(*), count(*) FILTER (d.n_simulated > 0)
FROM scores s LEFT JOIN models m ON m.model_id = s.model_id LEFT JOIN datasets d ON d.dataset_id = m.dataset_id
UNION ALL SELECT 22, 'evaluation figures', count(*), count(*) FILTER (n_simulated > 0) FROM evaluations
UNION ALL SELECT 23, 'dropped rows', count(*), 0 FROM drops;

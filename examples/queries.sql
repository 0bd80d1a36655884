-- Questions to the warehouse. All in turn: `odds sql @examples/queries.sql`. `odds tables` says what every column means.

-- How far is the work, and how much of it is simulated?
SELECT stage, n, n_simulated FROM progress ORDER BY position;

-- On which propositions do annotators disagree most?
SELECT premise, hypothesis, n_judgments, n_simulated, mean, sd FROM disagreement ORDER BY sd DESC LIMIT 10;

-- Where do people and labelers differ most?
SELECT hypothesis, mean, estimate_mean, difference FROM disagreement ORDER BY abs(difference) DESC NULLS LAST LIMIT 10;

-- How fine-grained are the labelers, and do they agree with the judgments?
SELECT labeler, method, n_estimates, n_distinct, pearson, mean_absolute_error FROM labeler_quality ORDER BY labeler;

-- What did each labeler cost?
SELECT * FROM labeler_cost;

-- Which annotators stand apart from the others?
SELECT coalesce(a.name, a.source_id) AS annotator, a.kind, q.n_judgments, q.pearson_with_rest, q.mean_difference
FROM annotator_quality q JOIN annotators a ON a.annotator_id = q.annotator_id ORDER BY q.pearson_with_rest;

-- How has agreement changed over time?
SELECT measured_at, scope, value, low, high, change, n_judgments, n_simulated
FROM agreement_history WHERE metric = 'interval_alpha' AND slice = 'all' ORDER BY measured_at;

-- Why were rows dropped?
SELECT stage, reason, count(*) AS n FROM drops GROUP BY stage, reason ORDER BY n DESC;

-- How good is each estimator, beside labelers and baselines?
SELECT model_id, subject, metric, value, low, high, n FROM evaluations WHERE metric IN ('pearson', 'mse') ORDER BY ALL;

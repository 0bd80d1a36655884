-- Example queries. Run all: `odds sql @examples/queries.sql`. `odds tables` says what every column means.

-- What is the progress, and how much of it is simulated?
SELECT stage, n, n_simulated FROM progress ORDER BY position;

-- On which propositions do annotators disagree most?
SELECT premise, hypothesis, n_judgments, n_simulated, mean, sd FROM disagreement ORDER BY sd DESC LIMIT 10;

-- Where do people and labelers differ most?
SELECT hypothesis, mean, estimate_mean, difference FROM disagreement ORDER BY abs(difference) DESC NULLS LAST LIMIT 10;

-- How fine-grained are the labelers?
SELECT labeler, method, n_estimates, refusal_rate, n_distinct, top3_mass, entropy_share, excess_multiples_of_5
FROM labeler_quality ORDER BY top3_mass;

-- Do they agree with people, and how much of that is simulated?
SELECT labeler, n_judged, n_judgments, n_simulated, pearson, spearman, mean_absolute_error, mean_difference,
  calibration_error
FROM labeler_quality ORDER BY spearman DESC NULLS LAST;

-- Does recalibration help on held-out propositions?
SELECT labeler, n_held_out, calibration_error_held_out, calibration_error_recalibrated, is_recalibration_simulated
FROM labeler_quality WHERE n_held_out > 0 ORDER BY labeler;

-- What does a usable estimate cost, including refused replies and retries?
SELECT labeler, method, n_estimates + n_comparisons AS usable, n_requests, tokens_per_estimate, cost, cost_per_estimate
FROM labeler_quality ORDER BY cost_per_estimate;

-- What did each labeler and prompt version cost?
SELECT labeler, purpose, model, prompt, prompt_version, n_requests, n_refused, n_failed, n_cached, cost, cost_per_answer
FROM labeler_cost ORDER BY cost DESC NULLS LAST;

-- Why did labelers give no answer?
SELECT labeler, reason, count(*) AS n FROM estimates WHERE probability IS NULL GROUP BY ALL ORDER BY n DESC;

-- Which annotators differ most from the others?
SELECT a.pseudonym AS annotator, a.kind, q.n_judgments, q.pearson_with_rest, q.mean_difference
FROM annotator_quality q JOIN annotators a ON a.annotator_id = q.annotator_id ORDER BY q.pearson_with_rest;

-- How has agreement changed over time?
SELECT measured_at, scope, value, low, high, change, n_judgments, n_simulated
FROM agreement_history WHERE metric = 'interval_alpha' AND slice = 'all' ORDER BY measured_at;

-- Why were rows dropped?
SELECT stage, reason, count(*) AS n FROM drops GROUP BY stage, reason ORDER BY n DESC;

-- How good is each estimator, compared with labelers and baselines?
SELECT model_id, subject, metric, value, low, high, n FROM evaluations WHERE metric IN ('pearson', 'mse') AND slice IS NULL ORDER BY ALL;

-- The newest estimate of each labeler for each proposition, whatever its version, also where it gave no probability.
-- estimate_id: The estimate, by its id in estimates.
-- proposition_id: The proposition, by its id in propositions.
-- labeler: The labeler, by name.
-- labeler_version: The version of the labeler.
-- method: How it was asked.
-- probability: The probability, in [0, 1]; null where it gave none.
-- reason: Why there is no probability; null where there is one.
-- reasoning: What it said before its answer; null where it said nothing.
-- request_id: The request that it was read from, by its id in requests; null for a mean of several.
-- created_at: When the row was first written (UTC).
CREATE VIEW current_estimates AS
SELECT
  estimate_id, proposition_id, labeler, labeler_version, method, probability, reason, reasoning, request_id, created_at
FROM estimates
QUALIFY row_number() OVER (PARTITION BY labeler, proposition_id ORDER BY created_at DESC, estimate_id) = 1;

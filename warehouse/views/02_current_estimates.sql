-- Each labeler's estimate for each proposition, from its version in use or else the newest; also if it gave no probability.
-- estimate_id: The estimate, by its id in estimates.
-- proposition_id: The proposition, by its id in propositions.
-- labeler: The labeler, by name.
-- labeler_version: The version of the labeler.
-- method: The elicitation method.
-- probability: The probability, in [0, 1]; null where it gave none.
-- reason: Why there is no probability; null if there is one.
-- reasoning: What it wrote before its answer; null if nothing.
-- request_id: The request that it came from, by its id in requests; null for a mean of several.
-- created_at: When the row was first written (UTC).
-- in_panel: Whether it counts in the panel: its version is in use, or its labeler is unknown to the table labelers.
CREATE VIEW current_estimates AS
SELECT
  e.estimate_id, e.proposition_id, e.labeler, e.labeler_version, e.method, e.probability, e.reason, e.reasoning,
  e.request_id, e.created_at, coalesce(l.in_use, e.labeler NOT IN (SELECT labeler FROM labelers)) AS in_panel
FROM estimates e
LEFT JOIN labelers l ON l.labeler = e.labeler AND l.labeler_version = e.labeler_version
QUALIFY row_number() OVER (
  PARTITION BY e.labeler, e.proposition_id ORDER BY coalesce(l.in_use, false) DESC, e.created_at DESC, e.estimate_id
) = 1;

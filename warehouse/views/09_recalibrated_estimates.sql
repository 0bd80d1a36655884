-- The probabilities of current_estimates, before and after the latest recalibration of the labeler version.
-- estimate_id: The estimate, by its id in estimates.
-- proposition_id: The proposition, by its id in propositions.
-- labeler: The labeler, by name.
-- labeler_version: The version of the labeler.
-- probability: The estimate as given, in [0, 1].
-- recalibrated: The recalibrated estimate, in [0, 1]; null if this version has no recalibration, or it was withdrawn.
-- recalibration_id: The recalibration, by its id in recalibrations; null if none is in force.
-- is_simulated: Whether that recalibration is based on simulated judgments; false if there is none.
-- in_panel: Whether it counts in the panel, as in current_estimates.
CREATE VIEW recalibrated_estimates AS
WITH maps AS (
  SELECT recalibration_id, labeler, labeler_version, estimates AS x, probabilities AS y, n_simulated FROM recalibrations
  QUALIFY row_number() OVER (
    PARTITION BY labeler, labeler_version ORDER BY created_at DESC, recalibration_id
  ) = 1
), placed AS (
  SELECT n.estimate_id, n.proposition_id, n.labeler, n.labeler_version, n.probability, n.in_panel,
    m.recalibration_id, m.x, m.y, m.n_simulated,
    -- How many corners lie at or below the estimate: it is on the line from this one to the next.
    len(list_filter(m.x, lambda corner: corner <= n.probability)) AS corner
  FROM current_estimates n
  -- A newest one without corners is the withdrawal of the one before it.
  LEFT JOIN maps m ON m.labeler = n.labeler AND m.labeler_version = n.labeler_version AND len(m.x) > 0
  WHERE n.probability IS NOT NULL
)
SELECT
  estimate_id, proposition_id, labeler, labeler_version, probability,
  CASE
    WHEN corner = 0 THEN y[1]
    WHEN corner = len(x) THEN y[len(x)]
    ELSE y[corner] + (y[corner + 1] - y[corner]) * (probability - x[corner]) / (x[corner + 1] - x[corner])
  END AS recalibrated,
  recalibration_id, coalesce(n_simulated > 0, false) AS is_simulated, in_panel
FROM placed;

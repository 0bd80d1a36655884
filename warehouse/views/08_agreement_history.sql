-- Agreement over time: every figure ever measured, with its change. A row is written only if the judgments changed.
-- metric: The figure.
-- scope: What it is about: a selection of judgments, or a labeler.
-- slice: The slice: all, or a value such as kind=proposed.
-- measured_at: When it was measured (UTC).
-- value: The figure; null if undefined.
-- low: The lower end of the 95% interval, in the unit of value; null if there is none.
-- high: The upper end of the 95% interval, in the unit of value; null if there is none.
-- change: value minus the previous value; null for the first.
-- n_propositions: Propositions behind it (count).
-- n_judgments: Judgments behind it (count).
-- n_simulated: How many of these come from simulated annotators (count).
-- snapshot_id: The warehouse snapshot (number) that it was computed from.
-- is_newest: Whether it is the latest for its metric, scope and slice.
CREATE VIEW agreement_history AS
SELECT
  metric, scope, slice, created_at AS measured_at, value, low, high,
  value - lag(value) OVER (PARTITION BY metric, scope, slice ORDER BY created_at, agreement_id) AS change,
  n_propositions, n_judgments, n_simulated, snapshot_id,
  row_number() OVER (PARTITION BY metric, scope, slice ORDER BY created_at DESC, agreement_id DESC) = 1 AS is_newest
FROM agreement;

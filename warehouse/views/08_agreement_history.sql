-- Agreement over time: every figure that was ever measured, with the one before it. A row is written only on a change.
-- metric: The figure.
-- scope: What it is about: a selection of judgments, or a labeler.
-- slice: The part of it: all, or such as kind=proposed.
-- measured_at: When it was measured (UTC).
-- value: The figure; null where it was not defined.
-- low: The lower end of the 95% interval, in the unit of value; null where there is none.
-- high: The upper end of the 95% interval, in the unit of value; null where there is none.
-- change: value minus the value before it; null for the first.
-- n_propositions: How many propositions it rested on (count).
-- n_judgments: How many judgments it rested on (count).
-- n_simulated: How many of these came from simulated annotators (count).
-- snapshot_id: The warehouse snapshot (number) that it was computed from.
-- is_newest: Whether it is the newest of its metric, scope and slice.
CREATE VIEW agreement_history AS
SELECT
  metric, scope, slice, created_at AS measured_at, value, low, high,
  value - lag(value) OVER (PARTITION BY metric, scope, slice ORDER BY created_at, agreement_id) AS change,
  n_propositions, n_judgments, n_simulated, snapshot_id,
  row_number() OVER (PARTITION BY metric, scope, slice ORDER BY created_at DESC, agreement_id DESC) = 1 AS is_newest
FROM agreement;

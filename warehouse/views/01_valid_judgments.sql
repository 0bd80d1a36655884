-- The judgments that count: not deleted, not rejected, a probability given, the first of each annotator and proposition.
-- judgment_id: The judgment, by its id in judgments.
-- proposition_id: The proposition, by its id in propositions.
-- annotator_id: The annotator, by its id in annotators.
-- annotator_kind: human, simulated or imported.
-- is_simulated: Whether it comes from a simulated annotator.
-- probability: The probability, in [0, 1].
-- source: Where it was made.
-- batch: The batch that it belongs to in its source; null without one.
-- lead_time_s: The time spent on it (seconds); null where unknown.
-- submitted_at: When it was made (UTC); null where unknown.
CREATE VIEW valid_judgments AS
SELECT
  j.judgment_id, j.proposition_id, j.annotator_id, a.kind AS annotator_kind, a.kind = 'simulated' AS is_simulated,
  j.probability, j.source, j.batch, j.lead_time_s, j.submitted_at
FROM judgments j
JOIN annotators a ON a.annotator_id = j.annotator_id
WHERE j.deleted_at IS NULL AND j.status <> 'rejected' AND NOT j.cannot_judge
QUALIFY row_number() OVER (
  PARTITION BY j.annotator_id, j.proposition_id ORDER BY j.sequence NULLS LAST, j.submitted_at NULLS LAST, j.judgment_id
) = 1;

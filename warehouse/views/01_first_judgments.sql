-- The first judgment of each annotator on each proposition, if not deleted or rejected and with a probability: those that count, those on checks, and those of excluded annotators.
-- judgment_id: The judgment, by its id in judgments.
-- proposition_id: The proposition, by its id in propositions.
-- annotator_id: The annotator, by its id in annotators.
-- annotator_kind: human, simulated, imported, aggregate or anonymous.
-- annotator_group: The annotator's group; null if there is none.
-- is_simulated: Whether it comes from a simulated annotator.
-- probability: The probability, in [0, 1].
-- source: Where it was made.
-- batch: Its batch in the source; null if there is none.
-- lead_time_s: The time spent on it (seconds); null if unknown.
-- submitted_at: When it was made (UTC); null if unknown.
-- width: The width of the interval around the probability that the rating stands for, in [0, 1]; null for a point.
-- is_check: Whether its proposition is one of checks, so that it says something about the annotator instead.
-- is_excluded: Whether its annotator is excluded now.
CREATE VIEW first_judgments AS
WITH repeated AS (
  SELECT annotator_id, proposition_id FROM judgments
  WHERE deleted_at IS NULL AND status <> 'rejected' AND NOT cannot_judge GROUP BY ALL HAVING count(*) > 1
), later AS (
  -- Repeats are few, and sorting only them takes a third of the time of a window over all judgments.
  SELECT judgment_id FROM judgments SEMI JOIN repeated USING (annotator_id, proposition_id)
  WHERE deleted_at IS NULL AND status <> 'rejected' AND NOT cannot_judge
  QUALIFY row_number() OVER (
    PARTITION BY annotator_id, proposition_id ORDER BY sequence NULLS LAST, submitted_at NULLS LAST, judgment_id
  ) > 1
)
SELECT
  j.judgment_id, j.proposition_id, j.annotator_id, a.kind AS annotator_kind, a.annotator_group,
  a.kind = 'simulated' AS is_simulated, j.probability, j.source, j.batch, j.lead_time_s, j.submitted_at, j.width,
  j.proposition_id IN (SELECT proposition_id FROM checks) AS is_check,
  j.annotator_id IN (SELECT annotator_id FROM current_statuses WHERE status = 'excluded') AS is_excluded
FROM judgments j ANTI JOIN later USING (judgment_id)
JOIN annotators a ON a.annotator_id = j.annotator_id
WHERE j.deleted_at IS NULL AND j.status <> 'rejected' AND NOT j.cannot_judge;

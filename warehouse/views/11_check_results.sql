-- How annotators did on attention and qualification checks: the first judgment of each on each check. Practice does not count.
-- judgment_id: The judgment, by its id in judgments.
-- annotator_id: The annotator, by its id in annotators.
-- proposition_id: The proposition of the check, by its id in propositions.
-- purpose: attention or qualification.
-- low: The lowest probability that passes, in [0, 1].
-- high: The highest probability that passes, in [0, 1].
-- probability: The judgment, in [0, 1]; null for "cannot judge".
-- passed: Whether it lies from low to high; "cannot judge" does not pass.
-- submitted_at: When it was made (UTC); null if unknown.
CREATE VIEW check_results AS
SELECT
  j.judgment_id, j.annotator_id, c.proposition_id, c.purpose, c.low, c.high, j.probability,
  coalesce(j.probability BETWEEN c.low AND c.high, false) AS passed, j.submitted_at
FROM checks c
JOIN judgments j ON j.proposition_id = c.proposition_id AND j.deleted_at IS NULL AND j.status <> 'rejected'
WHERE c.purpose <> 'practice'
QUALIFY row_number() OVER (
  PARTITION BY j.annotator_id, c.proposition_id
  ORDER BY j.sequence NULLS LAST, j.submitted_at NULLS LAST, j.judgment_id
) = 1;

-- An annotator's later judgments of a proposition beside the first one, which alone counts. Checks are left out.
-- annotator_id: The annotator, by its id in annotators.
-- proposition_id: The proposition, by its id in propositions.
-- first_judgment_id: The first judgment, by its id in judgments.
-- judgment_id: The later judgment, by its id in judgments.
-- first_probability: The first judgment, in [0, 1].
-- probability: The later judgment, in [0, 1].
-- seconds_between: The time between the two (seconds); null if unknown.
CREATE VIEW repeated_judgments AS
SELECT
  j.annotator_id, j.proposition_id, f.judgment_id AS first_judgment_id, j.judgment_id,
  f.probability AS first_probability, j.probability,
  epoch(j.submitted_at) - epoch(f.submitted_at) AS seconds_between
FROM judgments j
JOIN first_judgments f
  ON f.annotator_id = j.annotator_id AND f.proposition_id = j.proposition_id AND f.judgment_id <> j.judgment_id
WHERE j.deleted_at IS NULL AND j.status <> 'rejected' AND NOT j.cannot_judge AND NOT f.is_check;

-- How each annotator answers: speed, and the same value again and again. All judgments with a probability, also on checks.
-- annotator_id: The annotator, by its id in annotators.
-- n_given: Judgments with a probability, except deleted and rejected ones (count).
-- n_timed: How many of them have a time (count).
-- median_lead_time_s: The median time spent on one (seconds); null if unknown.
-- share_too_fast: The share of the timed ones that took less than 2 seconds, or less than reading both texts at 60 characters a second, about 600 words a minute; in [0, 1], null if no time is known.
-- longest_run: The most judgments in a row, by time, with exactly the same value (count).
-- share_same_as_before: The share of judgments that repeat the value of the one before, in [0, 1]; null for a single one.
CREATE VIEW annotator_habits AS
WITH timed AS (
  SELECT
    j.annotator_id, j.probability, j.lead_time_s, length(m.text) + length(p.hypothesis) AS characters,
    row_number() OVER own AS place,
    row_number() OVER (
      PARTITION BY j.annotator_id, j.probability ORDER BY j.submitted_at NULLS LAST, j.sequence NULLS LAST, j.judgment_id
    ) AS place_of_value,
    lag(j.probability) OVER own AS before
  FROM judgments j
  JOIN propositions p ON p.proposition_id = j.proposition_id
  JOIN premises m ON m.premise_id = p.premise_id
  WHERE j.deleted_at IS NULL AND j.status <> 'rejected' AND NOT j.cannot_judge
  WINDOW own AS (
    PARTITION BY j.annotator_id ORDER BY j.submitted_at NULLS LAST, j.sequence NULLS LAST, j.judgment_id
  )
), runs AS (
  -- Within a run both numbers grow by one, so that their difference stays.
  SELECT annotator_id, count(*) AS n FROM timed GROUP BY annotator_id, probability, place - place_of_value
), longest AS (
  SELECT annotator_id, max(n) AS n FROM runs GROUP BY annotator_id
)
SELECT
  t.annotator_id, count(*) AS n_given, count(t.lead_time_s) AS n_timed, median(t.lead_time_s) AS median_lead_time_s,
  avg((t.lead_time_s < greatest(2, t.characters / 60))::DOUBLE) AS share_too_fast, any_value(l.n) AS longest_run,
  avg((t.probability = t.before)::DOUBLE) AS share_same_as_before
FROM timed t JOIN longest l ON l.annotator_id = t.annotator_id
GROUP BY t.annotator_id;

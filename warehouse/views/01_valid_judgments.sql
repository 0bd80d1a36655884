-- The judgments that count: not deleted, not rejected, with a probability, the first of an annotator on a proposition, not on a check, and not of an excluded annotator.
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
CREATE VIEW valid_judgments AS
SELECT * EXCLUDE (is_check, is_excluded) FROM first_judgments WHERE NOT is_check AND NOT is_excluded;

-- Studies with people: pseudonyms instead of names, the interface of a judgment, the purpose of a task, statuses, payments.

ALTER TABLE annotators RENAME COLUMN name TO pseudonym;
UPDATE annotators SET pseudonym = CASE
  WHEN kind = 'human' THEN 'A-' || left(annotator_id, 8)
  WHEN kind = 'simulated' THEN coalesce(pseudonym, source_id)
  ELSE source_id
END;
ALTER TABLE annotators DROP COLUMN status;
ALTER TABLE annotators DROP COLUMN qualified_at;
ALTER TABLE annotators DROP COLUMN reliability;
COMMENT ON COLUMN annotators.pseudonym IS 'What to call the annotator. Of a person in Label Studio: A- and the start of the id, since names and e-mail addresses stay there; of an imported one, the id in the file.';

ALTER TABLE judgments ADD COLUMN interface VARCHAR;
ALTER TABLE judgments ADD COLUMN interface_version VARCHAR;
ALTER TABLE judgments ADD COLUMN scale VARCHAR;
COMMENT ON COLUMN judgments.interface IS 'The page on which it was made: slider, number or unli; null if unknown or imported.';
COMMENT ON COLUMN judgments.interface_version IS 'The version of that page and its instruction: a hash; null if unknown or imported.';
COMMENT ON COLUMN judgments.scale IS 'The scale of the page: 0:100 in percent, or unli, which is finer near 0 and 1; null if unknown or imported.';
COMMENT ON COLUMN judgments.raw_probability IS 'What the annotator had entered, as a probability, even if the annotator could not judge; never counts as a judgment.';

ALTER TABLE tasks ADD COLUMN purpose VARCHAR;
UPDATE tasks SET purpose = 'judge';
COMMENT ON COLUMN tasks.purpose IS 'Why it is asked: judge, check (an attention check), repeat (of the annotator''s own proposition), practice or qualification. Annotators don''t see it.';
COMMENT ON COLUMN checks.purpose IS 'practice (with feedback), qualification (before real tasks) or attention (among them).';

ALTER TABLE studio_projects ADD COLUMN purpose VARCHAR;
UPDATE studio_projects SET purpose = 'study';
ALTER TABLE studio_projects ADD COLUMN interface VARCHAR;
ALTER TABLE studio_projects ADD COLUMN interface_version VARCHAR;
COMMENT ON COLUMN studio_projects.purpose IS 'study, or qualification.';
COMMENT ON COLUMN studio_projects.interface IS 'Its page: slider, number or unli; null if not known yet.';
COMMENT ON COLUMN studio_projects.interface_version IS 'The version of that page and its instruction: a hash; null if not known yet.';

CREATE TABLE annotator_statuses (
  status_id VARCHAR NOT NULL,
  annotator_id VARCHAR NOT NULL,
  status VARCHAR NOT NULL,
  reason VARCHAR NOT NULL,
  decided_by VARCHAR NOT NULL,
  since TIMESTAMP WITH TIME ZONE NOT NULL,
  created_at TIMESTAMP WITH TIME ZONE NOT NULL
);
COMMENT ON TABLE annotator_statuses IS 'What an annotator was from a time on, and why. The newest row holds; excluding never deletes judgments. Written by odds annotators.';
COMMENT ON COLUMN annotator_statuses.status_id IS 'The id: a hash of the annotator, the status and the time.';
COMMENT ON COLUMN annotator_statuses.annotator_id IS 'The annotator, by its id in annotators.';
COMMENT ON COLUMN annotator_statuses.status IS 'invited, qualified, active, watched or excluded. The judgments of an excluded annotator don''t count.';
COMMENT ON COLUMN annotator_statuses.reason IS 'Why.';
COMMENT ON COLUMN annotator_statuses.decided_by IS 'person, or rule (a setting).';
COMMENT ON COLUMN annotator_statuses.since IS 'From when on (UTC).';
COMMENT ON COLUMN annotator_statuses.created_at IS 'When the row was first written (UTC).';

CREATE TABLE payments (
  payment_id VARCHAR NOT NULL,
  annotator_id VARCHAR NOT NULL,
  period_start TIMESTAMP WITH TIME ZONE NOT NULL,
  period_end TIMESTAMP WITH TIME ZONE NOT NULL,
  n_judgments BIGINT NOT NULL,
  n_checks_passed BIGINT NOT NULL,
  n_checks BIGINT NOT NULL,
  seconds DOUBLE NOT NULL,
  amount DOUBLE NOT NULL,
  created_at TIMESTAMP WITH TIME ZONE NOT NULL
);
COMMENT ON TABLE payments IS 'What an annotator is owed for a period, as exported; no judgment is counted in two. Written by odds annotators pay.';
COMMENT ON COLUMN payments.payment_id IS 'The id: a hash of the annotator and the period.';
COMMENT ON COLUMN payments.annotator_id IS 'The annotator, by its id in annotators.';
COMMENT ON COLUMN payments.period_start IS 'The start of the period, included (UTC).';
COMMENT ON COLUMN payments.period_end IS 'The end of the period, not included (UTC).';
COMMENT ON COLUMN payments.n_judgments IS 'The judgments submitted in it, checks included (count).';
COMMENT ON COLUMN payments.n_checks_passed IS 'The checks among them that were passed (count).';
COMMENT ON COLUMN payments.n_checks IS 'The checks among them (count).';
COMMENT ON COLUMN payments.seconds IS 'The time spent, each judgment''s limited to the cap (seconds).';
COMMENT ON COLUMN payments.amount IS 'The amount, in the currency of the study.';
COMMENT ON COLUMN payments.created_at IS 'When the row was first written (UTC).';

SELECT
  'The names of ' || count(*) || ' people were removed from the table annotators. They are still in older snapshots: '
  || 'odds maintain expires those and deletes their files' AS said
FROM annotators WHERE kind = 'human' HAVING count(*) > 0;

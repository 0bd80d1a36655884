-- Evaluation sets, and what sets subjects apart on them.

CREATE TABLE suites (
  suite_id VARCHAR NOT NULL,
  name VARCHAR NOT NULL,
  family VARCHAR NOT NULL,
  file VARCHAR NOT NULL,
  license VARCHAR,
  n_items BIGINT NOT NULL,
  content VARCHAR NOT NULL,
  created_at TIMESTAMP WITH TIME ZONE NOT NULL
);
COMMENT ON TABLE suites IS 'An evaluation set: texts with labels that no estimator is trained on. Written by odds import suite.';
COMMENT ON COLUMN suites.suite_id IS 'The id: a hash of the name.';
COMMENT ON COLUMN suites.name IS 'The name of the suite.';
COMMENT ON COLUMN suites.family IS 'What is asked: correlation (a probability each), update (does an update raise or lower it?) or choice (which alternative is the most probable?).';
COMMENT ON COLUMN suites.file IS 'The name of the imported file.';
COMMENT ON COLUMN suites.license IS 'The licence of the texts; null if nobody said.';
COMMENT ON COLUMN suites.n_items IS 'How many items it has (count).';
COMMENT ON COLUMN suites.content IS 'A hash of its items: a suite never changes under its name, so that figures stay comparable.';
COMMENT ON COLUMN suites.created_at IS 'When the row was first written (UTC).';

CREATE TABLE suite_items (
  suite_item_id VARCHAR NOT NULL,
  suite_id VARCHAR NOT NULL,
  item VARCHAR NOT NULL,
  place BIGINT NOT NULL,
  proposition_id VARCHAR NOT NULL,
  premise_id VARCHAR NOT NULL,
  premise VARCHAR NOT NULL,
  hypothesis VARCHAR NOT NULL,
  premise_group VARCHAR NOT NULL,
  label DOUBLE,
  judgments DOUBLE[] NOT NULL,
  created_at TIMESTAMP WITH TIME ZONE NOT NULL
);
COMMENT ON TABLE suite_items IS 'One proposition of an item of a suite. An item of the family correlation has one, of update two (without and with the update), of choice one for each alternative.';
COMMENT ON COLUMN suite_items.suite_item_id IS 'The id: a hash of the suite, the item and the place.';
COMMENT ON COLUMN suite_items.suite_id IS 'The suite, by its id in suites.';
COMMENT ON COLUMN suite_items.item IS 'The item within its suite.';
COMMENT ON COLUMN suite_items.place IS 'The place of the proposition in its item, from 0.';
COMMENT ON COLUMN suite_items.proposition_id IS 'The id of the proposition, a hash of its texts. It may be absent from propositions, which the pipeline works on.';
COMMENT ON COLUMN suite_items.premise_id IS 'The id of the premise, a hash of its text. Its near-duplicates are held out of training like itself.';
COMMENT ON COLUMN suite_items.premise IS 'The text taken as true.';
COMMENT ON COLUMN suite_items.hypothesis IS 'The statement whose probability is asked.';
COMMENT ON COLUMN suite_items.premise_group IS 'The id of the premise that the item is about; bootstrap resamples draw whole groups.';
COMMENT ON COLUMN suite_items.label IS 'correlation: the probability, in [0, 1]; update: 1 if the update must raise it, 0 if it must lower it, null without the update; choice: 1 for the right alternative, 0 for others.';
COMMENT ON COLUMN suite_items.judgments IS 'The single judgments that the label is the mean of, in [0, 1]; empty if they are unknown.';
COMMENT ON COLUMN suite_items.created_at IS 'When the row was first written (UTC).';

CREATE TABLE differences (
  difference_id VARCHAR NOT NULL,
  model_id VARCHAR NOT NULL,
  suite VARCHAR NOT NULL,
  subject VARCHAR NOT NULL,
  against VARCHAR NOT NULL,
  metric VARCHAR NOT NULL,
  value DOUBLE NOT NULL,
  low DOUBLE NOT NULL,
  high DOUBLE NOT NULL,
  p DOUBLE NOT NULL,
  p_holm DOUBLE NOT NULL,
  n BIGINT NOT NULL,
  created_at TIMESTAMP WITH TIME ZONE NOT NULL
);
COMMENT ON TABLE differences IS 'How much a figure of one subject exceeds that of another on the rows of a suite that both answered.';
COMMENT ON COLUMN differences.difference_id IS 'The id: a hash of the model, suite, both subjects and the metric.';
COMMENT ON COLUMN differences.model_id IS 'The estimator whose evaluation it belongs to, by its id in models.';
COMMENT ON COLUMN differences.suite IS 'The name of the suite.';
COMMENT ON COLUMN differences.subject IS 'The subject, as in evaluations.';
COMMENT ON COLUMN differences.against IS 'The subject that it is compared with.';
COMMENT ON COLUMN differences.metric IS 'The figure, as in evaluations.';
COMMENT ON COLUMN differences.value IS 'The figure of the subject minus that of the other, in the unit of the metric.';
COMMENT ON COLUMN differences.low IS 'The lower end of the 95% interval: a paired bootstrap over premises.';
COMMENT ON COLUMN differences.high IS 'The upper end of the 95% interval.';
COMMENT ON COLUMN differences.p IS 'The two-sided p-value of no difference, from the same resamples.';
COMMENT ON COLUMN differences.p_holm IS 'The p-value after Holm''s correction over all differences of this evaluation and suite.';
COMMENT ON COLUMN differences.n IS 'The items that both answered (count).';
COMMENT ON COLUMN differences.created_at IS 'When the row was first written (UTC).';

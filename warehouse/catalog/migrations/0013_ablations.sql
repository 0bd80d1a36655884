-- Ablations: variants of an estimator, each fitted with several seeds.

ALTER TABLE models ADD COLUMN ablation VARCHAR;
COMMENT ON COLUMN models.ablation IS 'The ablation it was fitted for; null for others. Such an estimator is in use only if a person chose it. Written by odds ablate.';

CREATE TABLE ablations (
  ablation_id VARCHAR NOT NULL,
  name VARCHAR NOT NULL,
  plan VARCHAR NOT NULL,
  variant VARCHAR NOT NULL,
  changes VARCHAR NOT NULL,
  models VARCHAR[] NOT NULL,
  suite VARCHAR NOT NULL,
  metric VARCHAR NOT NULL,
  value DOUBLE,
  low DOUBLE,
  high DOUBLE,
  seed_sd DOUBLE,
  n BIGINT NOT NULL,
  against VARCHAR NOT NULL,
  difference DOUBLE,
  difference_low DOUBLE,
  difference_high DOUBLE,
  p DOUBLE,
  p_holm DOUBLE,
  created_at TIMESTAMP WITH TIME ZONE NOT NULL
);
COMMENT ON TABLE ablations IS 'One figure of a variant of an ablation on one set of items. Written by odds ablate.';
COMMENT ON COLUMN ablations.ablation_id IS 'The id: a hash of the plan, the variant, the set and the metric.';
COMMENT ON COLUMN ablations.name IS 'The name of the ablation, from its plan.';
COMMENT ON COLUMN ablations.plan IS 'What was compared: a hash of the name, the estimators, and what they were measured on.';
COMMENT ON COLUMN ablations.variant IS 'The name of the variant.';
COMMENT ON COLUMN ablations.changes IS 'The settings in which it differs from the first variant, as JSON; {} for that one.';
COMMENT ON COLUMN ablations.models IS 'Its estimators, one for each seed, by their ids in models.';
COMMENT ON COLUMN ablations.suite IS 'dev: and a source for the dev split of the training set, the name of a suite, or all: the mean over them.';
COMMENT ON COLUMN ablations.metric IS 'The figure, as in evaluations; mean_rank is the mean over all sets of the rank by their main figure, 1 being the best.';
COMMENT ON COLUMN ablations.value IS 'The mean of the figure over the seeds; null if it is undefined.';
COMMENT ON COLUMN ablations.low IS 'The lower end of the 95% interval: a bootstrap over premises and seeds.';
COMMENT ON COLUMN ablations.high IS 'The upper end of the 95% interval.';
COMMENT ON COLUMN ablations.seed_sd IS 'The standard deviation of the figure over the seeds; null with one seed, or where it is undefined.';
COMMENT ON COLUMN ablations.n IS 'The items that all variants answered with every seed (count).';
COMMENT ON COLUMN ablations.against IS 'The variant that it is compared with: the first one.';
COMMENT ON COLUMN ablations.difference IS 'The figure minus that of the first variant, in the unit of the metric; null for the first one.';
COMMENT ON COLUMN ablations.difference_low IS 'The lower end of the 95% interval of the difference, from the same resamples for both.';
COMMENT ON COLUMN ablations.difference_high IS 'The upper end of the 95% interval of the difference.';
COMMENT ON COLUMN ablations.p IS 'The two-sided p-value of no difference, from the same resamples.';
COMMENT ON COLUMN ablations.p_holm IS 'The p-value after Holm''s correction over the variants.';
COMMENT ON COLUMN ablations.created_at IS 'When the row was first written (UTC).';

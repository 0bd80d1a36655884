-- For researchers: groups of annotators, fits of the consensus, contents of training sets, recalibration.
-- DuckLake cannot add NOT NULL columns, so added columns may be null and say when.

ALTER TABLE annotators ADD COLUMN annotator_group VARCHAR;
COMMENT ON COLUMN annotators.annotator_group IS 'The annotator''s group, such as a team or a cohort; null if there is none.';

ALTER TABLE consensus ADD COLUMN fingerprint VARCHAR;
COMMENT ON COLUMN consensus.fingerprint IS 'A hash of the judgments and estimates behind it. While it stays the same, the row is not recomputed. Null in rows older than this column.';
COMMENT ON COLUMN consensus.values IS 'The probabilities behind it, in [0, 1]: n_judgments judgments, then n_estimates recalibrated estimates.';

CREATE TABLE consensus_fits (
  fit_id VARCHAR NOT NULL,
  method VARCHAR NOT NULL,
  mode VARCHAR NOT NULL,
  mu DOUBLE NOT NULL,
  tau DOUBLE NOT NULL,
  iterations BIGINT NOT NULL,
  n_recomputed BIGINT NOT NULL,
  n_propositions BIGINT NOT NULL,
  n_annotators BIGINT NOT NULL,
  n_judgments BIGINT NOT NULL,
  n_simulated BIGINT NOT NULL,
  largest_move DOUBLE,
  settings VARCHAR NOT NULL,
  snapshot_id BIGINT NOT NULL,
  created_at TIMESTAMP WITH TIME ZONE NOT NULL
);
COMMENT ON TABLE consensus_fits IS 'A fit of the random-effects consensus (em); one row each time something was computed.';
COMMENT ON COLUMN consensus_fits.fit_id IS 'The id: a hash of the method and the snapshot.';
COMMENT ON COLUMN consensus_fits.method IS 'The method of the consensus: em.';
COMMENT ON COLUMN consensus_fits.mode IS 'full (all propositions) or incremental (only those with new judgments).';
COMMENT ON COLUMN consensus_fits.mu IS 'The mean of the propositions (a probability).';
COMMENT ON COLUMN consensus_fits.tau IS 'The standard deviation of the propositions around mu (a probability).';
COMMENT ON COLUMN consensus_fits.iterations IS 'EM iterations taken (count).';
COMMENT ON COLUMN consensus_fits.n_recomputed IS 'Propositions whose consensus was computed (count).';
COMMENT ON COLUMN consensus_fits.n_propositions IS 'Propositions with valid judgments (count).';
COMMENT ON COLUMN consensus_fits.n_annotators IS 'Annotators with valid judgments (count).';
COMMENT ON COLUMN consensus_fits.n_judgments IS 'Valid judgments (count).';
COMMENT ON COLUMN consensus_fits.n_simulated IS 'How many of these come from simulated annotators (count).';
COMMENT ON COLUMN consensus_fits.largest_move IS 'The largest relative change of an annotator''s standard deviation since the last full fit; null for the first fit.';
COMMENT ON COLUMN consensus_fits.settings IS 'The settings of the fit (JSON).';
COMMENT ON COLUMN consensus_fits.snapshot_id IS 'The warehouse snapshot (number) that it was computed from.';
COMMENT ON COLUMN consensus_fits.created_at IS 'When the row was first written (UTC).';

CREATE TABLE annotator_precisions (
  annotator_id VARCHAR NOT NULL,
  sd DOUBLE NOT NULL,
  sd_of_full_fit DOUBLE NOT NULL,
  n_judgments BIGINT NOT NULL,
  snapshot_id BIGINT NOT NULL,
  created_at TIMESTAMP WITH TIME ZONE NOT NULL
);
COMMENT ON TABLE annotator_precisions IS 'How far each annotator''s judgments lie from the consensus, as estimated by the random-effects fit (em).';
COMMENT ON COLUMN annotator_precisions.annotator_id IS 'The annotator, by its id in annotators.';
COMMENT ON COLUMN annotator_precisions.sd IS 'The standard deviation of the annotator''s judgments around the consensus (a probability); the smaller, the more weight.';
COMMENT ON COLUMN annotator_precisions.sd_of_full_fit IS 'The same at the last full fit, which the consensus uses.';
COMMENT ON COLUMN annotator_precisions.n_judgments IS 'Valid judgments (count).';
COMMENT ON COLUMN annotator_precisions.snapshot_id IS 'The warehouse snapshot (number) that it was computed from.';
COMMENT ON COLUMN annotator_precisions.created_at IS 'When the row was first written (UTC).';

CREATE TABLE recalibrations (
  recalibration_id VARCHAR NOT NULL,
  labeler VARCHAR NOT NULL,
  labeler_version VARCHAR NOT NULL,
  estimates DOUBLE[] NOT NULL,
  probabilities DOUBLE[] NOT NULL,
  n_propositions BIGINT NOT NULL,
  n_judgments BIGINT NOT NULL,
  n_simulated BIGINT NOT NULL,
  fingerprint VARCHAR NOT NULL,
  snapshot_id BIGINT NOT NULL,
  created_at TIMESTAMP WITH TIME ZONE NOT NULL
);
COMMENT ON TABLE recalibrations IS 'A map from a labeler''s estimates to human consensus: isotonic regression on propositions outside the test split.';
COMMENT ON COLUMN recalibrations.recalibration_id IS 'The id: a hash of the labeler, its version and the fingerprint.';
COMMENT ON COLUMN recalibrations.labeler IS 'The labeler, by name.';
COMMENT ON COLUMN recalibrations.labeler_version IS 'The version of the labeler.';
COMMENT ON COLUMN recalibrations.estimates IS 'The estimates at the knots of the map, ascending, in [0, 1]; linear between knots, constant outside.';
COMMENT ON COLUMN recalibrations.probabilities IS 'The recalibrated probabilities at the knots, never descending, in [0, 1].';
COMMENT ON COLUMN recalibrations.n_propositions IS 'Propositions behind it (count).';
COMMENT ON COLUMN recalibrations.n_judgments IS 'Judgments behind it (count).';
COMMENT ON COLUMN recalibrations.n_simulated IS 'How many of these judgments come from simulated annotators (count).';
COMMENT ON COLUMN recalibrations.fingerprint IS 'A hash of the estimates and judgments behind it.';
COMMENT ON COLUMN recalibrations.snapshot_id IS 'The warehouse snapshot (number) that it was computed from.';
COMMENT ON COLUMN recalibrations.created_at IS 'When the row was first written (UTC).';

CREATE TABLE premise_groups (
  premise_id VARCHAR NOT NULL,
  group_id VARCHAR NOT NULL,
  reason VARCHAR NOT NULL,
  split VARCHAR NOT NULL,
  created_at TIMESTAMP WITH TIME ZONE NOT NULL
);
COMMENT ON TABLE premise_groups IS 'Premises that a split must keep together: near-duplicates, or one derived from the other. Premises without such relatives are not listed.';
COMMENT ON COLUMN premise_groups.premise_id IS 'The premise, by its id in premises.';
COMMENT ON COLUMN premise_groups.group_id IS 'The group: the smallest id of its premises.';
COMMENT ON COLUMN premise_groups.reason IS 'What holds the group together: near-duplicate, derived or both.';
COMMENT ON COLUMN premise_groups.split IS 'The split of the whole group in a training set: test, dev or train, the first of these that one of its premises has.';
COMMENT ON COLUMN premise_groups.created_at IS 'When the row was first written (UTC).';

ALTER TABLE datasets ADD COLUMN n_human BIGINT;
COMMENT ON COLUMN datasets.n_human IS 'Propositions with judgments (count); null in sets older than this column.';
ALTER TABLE datasets ADD COLUMN n_synthetic BIGINT;
COMMENT ON COLUMN datasets.n_synthetic IS 'Propositions with estimates only (count); null in sets older than this column.';
ALTER TABLE datasets ADD COLUMN n_pairs BIGINT;
COMMENT ON COLUMN datasets.n_pairs IS 'Order pairs: two propositions, one of which must score higher (count); null in sets older than this column.';

ALTER TABLE shards ADD COLUMN part VARCHAR;
COMMENT ON COLUMN shards.part IS 'What its rows are: propositions or pairs; null (meaning propositions) in shards older than this column.';
ALTER TABLE shards ADD COLUMN first_premise_id VARCHAR;
COMMENT ON COLUMN shards.first_premise_id IS 'The premise of its first row: rows are sorted by premise; null in shards older than this column.';
ALTER TABLE shards ADD COLUMN last_premise_id VARCHAR;
COMMENT ON COLUMN shards.last_premise_id IS 'The premise of its last row; null in shards older than this column.';

COMMENT ON COLUMN agreement.metric IS 'The figure: interval_alpha, icc_1, reliability_of_mean, leave_one_out_r_mean and others; docs/researchers.md defines each.';
COMMENT ON COLUMN agreement.slice IS 'The slice: all, or a value such as kind=proposed; also annotator_kind, annotator_group, source, batch, project and week (its Monday).';

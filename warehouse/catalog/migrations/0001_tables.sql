-- The tables of the records. A column that may be null says when.

CREATE TABLE migrations (number INTEGER, name VARCHAR NOT NULL, sha256 VARCHAR NOT NULL, applied_at TIMESTAMP WITH TIME ZONE NOT NULL);
COMMENT ON TABLE migrations IS 'The migrations applied to this catalog, and the views as one entry.';
COMMENT ON COLUMN migrations.number IS 'The number of the migration; null for the views.';
COMMENT ON COLUMN migrations.name IS 'The name of the migration, or views.';
COMMENT ON COLUMN migrations.sha256 IS 'The SHA-256 hash of the text that was applied (hexadecimal).';
COMMENT ON COLUMN migrations.applied_at IS 'When it was applied (UTC).';

CREATE TABLE premises (
  premise_id VARCHAR NOT NULL,
  text VARCHAR NOT NULL,
  source VARCHAR NOT NULL,
  license VARCHAR,
  language VARCHAR NOT NULL,
  created_at TIMESTAMP WITH TIME ZONE NOT NULL
);
COMMENT ON TABLE premises IS 'A text taken as true; one row per distinct text.';
COMMENT ON COLUMN premises.premise_id IS 'The id: a hash of the normalised text.';
COMMENT ON COLUMN premises.text IS 'The text.';
COMMENT ON COLUMN premises.source IS 'Where the text comes from: a file, a corpus, a person.';
COMMENT ON COLUMN premises.license IS 'The licence of the text (SPDX if there is one); null if unknown.';
COMMENT ON COLUMN premises.language IS 'The language of the text (BCP 47).';
COMMENT ON COLUMN premises.created_at IS 'When the row was first written (UTC).';

CREATE TABLE propositions (
  proposition_id VARCHAR NOT NULL,
  premise_id VARCHAR NOT NULL,
  hypothesis VARCHAR NOT NULL,
  kind VARCHAR NOT NULL,
  source VARCHAR NOT NULL,
  split VARCHAR NOT NULL,
  parent_id VARCHAR,
  target_probability DOUBLE,
  request_id VARCHAR,
  created_at TIMESTAMP WITH TIME ZONE NOT NULL
);
COMMENT ON TABLE propositions IS 'A premise with a hypothesis; one row per pair. The unit of estimates, judgments, consensus and scores.';
COMMENT ON COLUMN propositions.proposition_id IS 'The id: a hash of the normalised premise and hypothesis.';
COMMENT ON COLUMN propositions.premise_id IS 'The premise, by its id in premises.';
COMMENT ON COLUMN propositions.hypothesis IS 'The statement whose probability is judged.';
COMMENT ON COLUMN propositions.kind IS 'How it was made: proposed, imported, negation, paraphrase, strengthened or weakened.';
COMMENT ON COLUMN propositions.source IS 'Where it came from: a labeler or the source of an import.';
COMMENT ON COLUMN propositions.split IS 'The split of its premise: train, dev or test.';
COMMENT ON COLUMN propositions.parent_id IS 'The proposition that it was derived from, by its id; null for all others.';
COMMENT ON COLUMN propositions.target_probability IS 'The probability that the proposer aimed at or an import gave, in [0, 1]; null if there is none.';
COMMENT ON COLUMN propositions.request_id IS 'The request that proposed it, by its id in requests; null if no LLM was asked.';
COMMENT ON COLUMN propositions.created_at IS 'When the row was first written (UTC).';

CREATE TABLE requests (
  request_id VARCHAR NOT NULL,
  purpose VARCHAR NOT NULL,
  subject_id VARCHAR NOT NULL,
  labeler VARCHAR NOT NULL,
  endpoint VARCHAR NOT NULL,
  model VARCHAR NOT NULL,
  prompt VARCHAR NOT NULL,
  prompt_version VARCHAR NOT NULL,
  parameters VARCHAR NOT NULL,
  status VARCHAR NOT NULL,
  reason VARCHAR,
  reply VARCHAR,
  tokens_in BIGINT,
  tokens_out BIGINT,
  cost DOUBLE,
  latency_s DOUBLE,
  cached BOOLEAN NOT NULL,
  created_at TIMESTAMP WITH TIME ZONE NOT NULL
);
COMMENT ON TABLE requests IS 'One LLM call and its outcome.';
COMMENT ON COLUMN requests.request_id IS 'The id: a hash of everything that determines the answer.';
COMMENT ON COLUMN requests.purpose IS 'Its purpose: propose, elicit or judge.';
COMMENT ON COLUMN requests.subject_id IS 'The id of the premise (propose) or proposition (elicit, judge) asked about.';
COMMENT ON COLUMN requests.labeler IS 'The labeler: an LLM with a prompt and sampling settings, by name.';
COMMENT ON COLUMN requests.endpoint IS 'The address of the endpoint, without credentials.';
COMMENT ON COLUMN requests.model IS 'The model, as the endpoint calls it.';
COMMENT ON COLUMN requests.prompt IS 'The name of the prompt.';
COMMENT ON COLUMN requests.prompt_version IS 'The version of the prompt.';
COMMENT ON COLUMN requests.parameters IS 'The sampling settings (JSON).';
COMMENT ON COLUMN requests.status IS 'Its outcome: answered, refused (an unusable reply) or failed (no reply).';
COMMENT ON COLUMN requests.reason IS 'Why it was not answered; null if it was.';
COMMENT ON COLUMN requests.reply IS 'The reply as received; null if there was none.';
COMMENT ON COLUMN requests.tokens_in IS 'The length of the prompt (tokens); null if not reported.';
COMMENT ON COLUMN requests.tokens_out IS 'The length of the reply (tokens); null if not reported.';
COMMENT ON COLUMN requests.cost IS 'The price of the call (US dollars); null if unknown.';
COMMENT ON COLUMN requests.latency_s IS 'The time from call to reply (seconds).';
COMMENT ON COLUMN requests.cached IS 'Whether the reply came from an earlier call.';
COMMENT ON COLUMN requests.created_at IS 'When the row was first written (UTC).';

CREATE TABLE estimates (
  estimate_id VARCHAR NOT NULL,
  proposition_id VARCHAR NOT NULL,
  labeler VARCHAR NOT NULL,
  labeler_version VARCHAR NOT NULL,
  method VARCHAR NOT NULL,
  probability DOUBLE,
  reason VARCHAR,
  reasoning VARCHAR,
  request_id VARCHAR,
  created_at TIMESTAMP WITH TIME ZONE NOT NULL
);
COMMENT ON TABLE estimates IS 'One labeler''s probability for one proposition, or the reason why it is missing.';
COMMENT ON COLUMN estimates.estimate_id IS 'The id: a hash of the proposition, the labeler and its version.';
COMMENT ON COLUMN estimates.proposition_id IS 'The proposition, by its id in propositions.';
COMMENT ON COLUMN estimates.labeler IS 'The labeler: an LLM with a prompt and sampling settings, by name.';
COMMENT ON COLUMN estimates.labeler_version IS 'The version of the labeler, which changes with its prompt or settings.';
COMMENT ON COLUMN estimates.method IS 'The elicitation method: verbalised, scale20, token, mean_of_samples or pairwise.';
COMMENT ON COLUMN estimates.probability IS 'The probability, in [0, 1]; null if the reply gave none.';
COMMENT ON COLUMN estimates.reason IS 'Why there is no probability; null if there is one.';
COMMENT ON COLUMN estimates.reasoning IS 'What the labeler wrote before its answer; null if nothing.';
COMMENT ON COLUMN estimates.request_id IS 'The request that it came from, by its id in requests; null if no LLM was asked.';
COMMENT ON COLUMN estimates.created_at IS 'When the row was first written (UTC).';

CREATE TABLE annotators (
  annotator_id VARCHAR NOT NULL,
  kind VARCHAR NOT NULL,
  source VARCHAR NOT NULL,
  source_id VARCHAR NOT NULL,
  name VARCHAR,
  status VARCHAR NOT NULL,
  qualified_at TIMESTAMP WITH TIME ZONE,
  reliability DOUBLE,
  created_at TIMESTAMP WITH TIME ZONE NOT NULL
);
COMMENT ON TABLE annotators IS 'Someone who judges: a person, a simulated annotator (always marked as such), or an annotator from an imported file.';
COMMENT ON COLUMN annotators.annotator_id IS 'The id: a hash of the source and the id there.';
COMMENT ON COLUMN annotators.kind IS 'human, simulated (generated by a program) or imported (from a file).';
COMMENT ON COLUMN annotators.source IS 'Where the annotator comes from: a Label Studio server or an imported file.';
COMMENT ON COLUMN annotators.source_id IS 'The annotator''s id there.';
COMMENT ON COLUMN annotators.name IS 'The display name; null if there is none.';
COMMENT ON COLUMN annotators.status IS 'active, or paused (gets no more tasks).';
COMMENT ON COLUMN annotators.qualified_at IS 'When the annotator passed the qualification (UTC); null before.';
COMMENT ON COLUMN annotators.reliability IS 'How well the annotator agrees with the rest (Pearson correlation, -1 to 1); null until it is known.';
COMMENT ON COLUMN annotators.created_at IS 'When the row was first written (UTC).';

CREATE TABLE judgments (
  judgment_id VARCHAR NOT NULL,
  proposition_id VARCHAR NOT NULL,
  annotator_id VARCHAR NOT NULL,
  probability DOUBLE,
  raw_probability DOUBLE,
  cannot_judge BOOLEAN NOT NULL,
  comment VARCHAR,
  lead_time_s DOUBLE,
  source VARCHAR NOT NULL,
  source_id VARCHAR NOT NULL,
  sequence BIGINT,
  status VARCHAR NOT NULL,
  batch VARCHAR,
  submitted_at TIMESTAMP WITH TIME ZONE,
  updated_at TIMESTAMP WITH TIME ZONE,
  deleted_at TIMESTAMP WITH TIME ZONE,
  created_at TIMESTAMP WITH TIME ZONE NOT NULL
);
COMMENT ON TABLE judgments IS 'One annotator''s probability for one proposition, or "cannot judge". Deleted ones stay, with deleted_at.';
COMMENT ON COLUMN judgments.judgment_id IS 'The id: a hash of the source and the id there.';
COMMENT ON COLUMN judgments.proposition_id IS 'The proposition, by its id in propositions.';
COMMENT ON COLUMN judgments.annotator_id IS 'The annotator, by its id in annotators.';
COMMENT ON COLUMN judgments.probability IS 'The probability, in [0, 1]; null if the annotator could not judge.';
COMMENT ON COLUMN judgments.raw_probability IS 'The position of the slider, in [0, 1], even if the annotator could not judge; never counts as a judgment.';
COMMENT ON COLUMN judgments.cannot_judge IS 'Whether the annotator chose "cannot judge".';
COMMENT ON COLUMN judgments.comment IS 'The annotator''s comment; null if there is none.';
COMMENT ON COLUMN judgments.lead_time_s IS 'The time spent on it (seconds); null if unknown.';
COMMENT ON COLUMN judgments.source IS 'Where it was made: a Label Studio project or an imported file.';
COMMENT ON COLUMN judgments.source_id IS 'Its id there.';
COMMENT ON COLUMN judgments.status IS 'submitted, or the status in the source, in lower case; rejected judgments do not count.';
COMMENT ON COLUMN judgments.batch IS 'Its batch in the source; null if there is none.';
COMMENT ON COLUMN judgments.sequence IS 'Its position in the source (row of a file, number in Label Studio); of an annotator''s repeats on a proposition the first counts; null if the source has no order.';
COMMENT ON COLUMN judgments.submitted_at IS 'When it was made (UTC); null if unknown.';
COMMENT ON COLUMN judgments.updated_at IS 'When it was last changed in its source (UTC); null if unknown.';
COMMENT ON COLUMN judgments.deleted_at IS 'When it was found deleted in its source (UTC); null while it exists.';
COMMENT ON COLUMN judgments.created_at IS 'When the row was first written (UTC).';

CREATE TABLE tasks (
  task_id VARCHAR NOT NULL,
  proposition_id VARCHAR NOT NULL,
  project VARCHAR NOT NULL,
  source_id VARCHAR NOT NULL,
  created_at TIMESTAMP WITH TIME ZONE NOT NULL
);
COMMENT ON TABLE tasks IS 'A proposition''s task in a Label Studio project.';
COMMENT ON COLUMN tasks.task_id IS 'The id: a hash of the project and the proposition.';
COMMENT ON COLUMN tasks.proposition_id IS 'The proposition, by its id in propositions.';
COMMENT ON COLUMN tasks.project IS 'The Label Studio project.';
COMMENT ON COLUMN tasks.source_id IS 'The number of the task in Label Studio.';
COMMENT ON COLUMN tasks.created_at IS 'When the row was first written (UTC).';

CREATE TABLE checks (
  check_id VARCHAR NOT NULL,
  proposition_id VARCHAR NOT NULL,
  low DOUBLE NOT NULL,
  high DOUBLE NOT NULL,
  purpose VARCHAR NOT NULL,
  created_at TIMESTAMP WITH TIME ZONE NOT NULL
);
COMMENT ON TABLE checks IS 'A gold or attention item: a proposition whose probability is known to lie between low and high.';
COMMENT ON COLUMN checks.check_id IS 'The id: a hash of the proposition and the purpose.';
COMMENT ON COLUMN checks.proposition_id IS 'The proposition, by its id in propositions.';
COMMENT ON COLUMN checks.low IS 'The lowest probability that passes, in [0, 1].';
COMMENT ON COLUMN checks.high IS 'The highest probability that passes, in [0, 1].';
COMMENT ON COLUMN checks.purpose IS 'qualification (before real tasks) or attention (among them).';
COMMENT ON COLUMN checks.created_at IS 'When the row was first written (UTC).';

CREATE TABLE drops (
  drop_id VARCHAR NOT NULL,
  stage VARCHAR NOT NULL,
  subject_id VARCHAR NOT NULL,
  reason VARCHAR NOT NULL,
  detail VARCHAR,
  created_at TIMESTAMP WITH TIME ZONE NOT NULL
);
COMMENT ON TABLE drops IS 'A row that was left out, with the reason.';
COMMENT ON COLUMN drops.drop_id IS 'The id: a hash of the stage, the subject and the reason.';
COMMENT ON COLUMN drops.stage IS 'The stage that dropped it, such as import or propose.';
COMMENT ON COLUMN drops.subject_id IS 'The id of what was dropped, or of its origin.';
COMMENT ON COLUMN drops.reason IS 'The reason, in a few fixed words, so that it can be counted.';
COMMENT ON COLUMN drops.detail IS 'The place or the text; null if there is none.';
COMMENT ON COLUMN drops.created_at IS 'When the row was first written (UTC).';

CREATE TABLE agreement (
  agreement_id VARCHAR NOT NULL,
  metric VARCHAR NOT NULL,
  scope VARCHAR NOT NULL,
  slice VARCHAR NOT NULL,
  value DOUBLE,
  low DOUBLE,
  high DOUBLE,
  n_propositions BIGINT NOT NULL,
  n_annotators BIGINT NOT NULL,
  n_judgments BIGINT NOT NULL,
  n_simulated BIGINT NOT NULL,
  fingerprint VARCHAR NOT NULL,
  snapshot_id BIGINT NOT NULL,
  created_at TIMESTAMP WITH TIME ZONE NOT NULL
);
COMMENT ON TABLE agreement IS 'One agreement figure over a selection of judgments; a new row only if the judgments changed.';
COMMENT ON COLUMN agreement.agreement_id IS 'The id: a hash of metric, scope, slice and fingerprint.';
COMMENT ON COLUMN agreement.metric IS 'The figure: interval_alpha, reliability_of_mean, leave_one_out_r_mean and others.';
COMMENT ON COLUMN agreement.scope IS 'What it is about: a selection of judgments, or a labeler.';
COMMENT ON COLUMN agreement.slice IS 'The slice: all, kind=... (of annotator) or source=...';
COMMENT ON COLUMN agreement.value IS 'The figure; null if undefined, for instance with too few judgments.';
COMMENT ON COLUMN agreement.low IS 'The lower end of the 95% interval, in the unit of value; null if there is none.';
COMMENT ON COLUMN agreement.high IS 'The upper end of the 95% interval, in the unit of value; null if there is none.';
COMMENT ON COLUMN agreement.n_propositions IS 'Propositions behind it (count).';
COMMENT ON COLUMN agreement.n_annotators IS 'Annotators behind it (count).';
COMMENT ON COLUMN agreement.n_judgments IS 'Judgments behind it (count).';
COMMENT ON COLUMN agreement.n_simulated IS 'How many of these judgments come from simulated annotators (count).';
COMMENT ON COLUMN agreement.fingerprint IS 'A hash of the judgments and settings behind it.';
COMMENT ON COLUMN agreement.snapshot_id IS 'The warehouse snapshot (number) that it was computed from.';
COMMENT ON COLUMN agreement.created_at IS 'When the row was first written (UTC).';

CREATE TABLE consensus (
  consensus_id VARCHAR NOT NULL,
  proposition_id VARCHAR NOT NULL,
  method VARCHAR NOT NULL,
  mean DOUBLE NOT NULL,
  sd DOUBLE,
  values DOUBLE[] NOT NULL,
  weights DOUBLE[] NOT NULL,
  n_judgments BIGINT NOT NULL,
  n_estimates BIGINT NOT NULL,
  n_simulated BIGINT NOT NULL,
  snapshot_id BIGINT NOT NULL,
  created_at TIMESTAMP WITH TIME ZONE NOT NULL
);
COMMENT ON TABLE consensus IS 'The aggregate of one proposition''s judgments by one method.';
COMMENT ON COLUMN consensus.consensus_id IS 'The id: a hash of the proposition and the method.';
COMMENT ON COLUMN consensus.proposition_id IS 'The proposition, by its id in propositions.';
COMMENT ON COLUMN consensus.method IS 'mean, median, trimmed (mean without a tenth at each end) or em (random effects with a precision for each annotator).';
COMMENT ON COLUMN consensus.mean IS 'The aggregate probability, in [0, 1].';
COMMENT ON COLUMN consensus.sd IS 'How uncertain the aggregate is (a probability): posterior SD for em, standard error for mean and trimmed; null if unknown.';
COMMENT ON COLUMN consensus.values IS 'The probabilities behind it, in [0, 1].';
COMMENT ON COLUMN consensus.weights IS 'Their weights, in the same order (sum 1).';
COMMENT ON COLUMN consensus.n_judgments IS 'Judgments behind it (count).';
COMMENT ON COLUMN consensus.n_estimates IS 'Estimates behind it (count).';
COMMENT ON COLUMN consensus.n_simulated IS 'How many of these judgments come from simulated annotators (count).';
COMMENT ON COLUMN consensus.snapshot_id IS 'The warehouse snapshot (number) that it was computed from.';
COMMENT ON COLUMN consensus.created_at IS 'When the row was first written (UTC).';

CREATE TABLE datasets (
  dataset_id VARCHAR NOT NULL,
  name VARCHAR NOT NULL,
  version BIGINT NOT NULL,
  snapshot_id BIGINT NOT NULL,
  path VARCHAR NOT NULL,
  n_train BIGINT NOT NULL,
  n_dev BIGINT NOT NULL,
  n_test BIGINT NOT NULL,
  n_judgments BIGINT NOT NULL,
  n_simulated BIGINT NOT NULL,
  code_version VARCHAR NOT NULL,
  created_at TIMESTAMP WITH TIME ZONE NOT NULL
);
COMMENT ON TABLE datasets IS 'A published training set; its manifest and shards never change.';
COMMENT ON COLUMN datasets.dataset_id IS 'The id: a hash of the name and the content.';
COMMENT ON COLUMN datasets.name IS 'The name.';
COMMENT ON COLUMN datasets.version IS 'The version, from 1.';
COMMENT ON COLUMN datasets.snapshot_id IS 'The warehouse snapshot (number) that it was computed from.';
COMMENT ON COLUMN datasets.path IS 'The folder of its manifest and shards.';
COMMENT ON COLUMN datasets.n_train IS 'Propositions in the train split (count).';
COMMENT ON COLUMN datasets.n_dev IS 'Propositions in the dev split (count).';
COMMENT ON COLUMN datasets.n_test IS 'Propositions in the test split (count).';
COMMENT ON COLUMN datasets.n_judgments IS 'Judgments behind it (count).';
COMMENT ON COLUMN datasets.n_simulated IS 'How many of these judgments come from simulated annotators (count).';
COMMENT ON COLUMN datasets.code_version IS 'The version of Odds that made it.';
COMMENT ON COLUMN datasets.created_at IS 'When the row was first written (UTC).';

CREATE TABLE shards (
  shard_id VARCHAR NOT NULL,
  dataset_id VARCHAR NOT NULL,
  split VARCHAR NOT NULL,
  path VARCHAR NOT NULL,
  rows BIGINT NOT NULL,
  bytes BIGINT NOT NULL,
  sha256 VARCHAR NOT NULL,
  created_at TIMESTAMP WITH TIME ZONE NOT NULL
);
COMMENT ON TABLE shards IS 'One parquet file of a published training set.';
COMMENT ON COLUMN shards.shard_id IS 'The id: a hash of the training set and the path.';
COMMENT ON COLUMN shards.dataset_id IS 'The training set, by its id in datasets.';
COMMENT ON COLUMN shards.split IS 'train, dev or test.';
COMMENT ON COLUMN shards.path IS 'The file, relative to the folder of the training set.';
COMMENT ON COLUMN shards.rows IS 'Rows (count).';
COMMENT ON COLUMN shards.bytes IS 'The size of the file (bytes).';
COMMENT ON COLUMN shards.sha256 IS 'The SHA-256 hash of the file (hexadecimal).';
COMMENT ON COLUMN shards.created_at IS 'When the row was first written (UTC).';

CREATE TABLE models (
  model_id VARCHAR NOT NULL,
  name VARCHAR NOT NULL,
  dataset_id VARCHAR NOT NULL,
  base_model VARCHAR NOT NULL,
  settings VARCHAR NOT NULL,
  code_version VARCHAR NOT NULL,
  path VARCHAR NOT NULL,
  dev_loss DOUBLE,
  steps BIGINT NOT NULL,
  duration_s DOUBLE NOT NULL,
  created_at TIMESTAMP WITH TIME ZONE NOT NULL
);
COMMENT ON TABLE models IS 'One training run and the location of its weights.';
COMMENT ON COLUMN models.model_id IS 'The id: a hash of the training set, the settings and the version of Odds.';
COMMENT ON COLUMN models.name IS 'The name.';
COMMENT ON COLUMN models.dataset_id IS 'The training set, by its id in datasets.';
COMMENT ON COLUMN models.base_model IS 'The language model that was fine-tuned.';
COMMENT ON COLUMN models.settings IS 'The training settings (JSON).';
COMMENT ON COLUMN models.code_version IS 'The version of Odds that made it.';
COMMENT ON COLUMN models.path IS 'The folder of the weights.';
COMMENT ON COLUMN models.dev_loss IS 'The best loss on the dev split (nats); null without a dev split.';
COMMENT ON COLUMN models.steps IS 'Optimiser steps taken (count).';
COMMENT ON COLUMN models.duration_s IS 'The time that training took (seconds).';
COMMENT ON COLUMN models.created_at IS 'When the row was first written (UTC).';

CREATE TABLE scores (
  score_id VARCHAR NOT NULL,
  model_id VARCHAR NOT NULL,
  proposition_id VARCHAR NOT NULL,
  score DOUBLE NOT NULL,
  level_probabilities DOUBLE[] NOT NULL,
  created_at TIMESTAMP WITH TIME ZONE NOT NULL
);
COMMENT ON TABLE scores IS 'An estimator''s output for one proposition.';
COMMENT ON COLUMN scores.score_id IS 'The id: a hash of the model and the proposition.';
COMMENT ON COLUMN scores.model_id IS 'The estimator, by its id in models.';
COMMENT ON COLUMN scores.proposition_id IS 'The proposition, by its id in propositions.';
COMMENT ON COLUMN scores.score IS 'The probability that the estimator gives, in [0, 1].';
COMMENT ON COLUMN scores.level_probabilities IS 'The probability of each level, from the lowest (sum 1).';
COMMENT ON COLUMN scores.created_at IS 'When the row was first written (UTC).';

CREATE TABLE evaluations (
  evaluation_id VARCHAR NOT NULL,
  model_id VARCHAR NOT NULL,
  dataset_id VARCHAR NOT NULL,
  suite VARCHAR NOT NULL,
  subject VARCHAR NOT NULL,
  metric VARCHAR NOT NULL,
  value DOUBLE,
  low DOUBLE,
  high DOUBLE,
  n BIGINT NOT NULL,
  n_simulated BIGINT NOT NULL,
  created_at TIMESTAMP WITH TIME ZONE NOT NULL
);
COMMENT ON TABLE evaluations IS 'One figure of one suite for one subject.';
COMMENT ON COLUMN evaluations.evaluation_id IS 'The id: a hash of the model, the training set, suite, subject and metric.';
COMMENT ON COLUMN evaluations.model_id IS 'The estimator, by its id in models.';
COMMENT ON COLUMN evaluations.dataset_id IS 'The training set, by its id in datasets.';
COMMENT ON COLUMN evaluations.suite IS 'The suite.';
COMMENT ON COLUMN evaluations.subject IS 'What was evaluated: an estimator, a labeler, a baseline or one annotator.';
COMMENT ON COLUMN evaluations.metric IS 'The figure, such as pearson or mse.';
COMMENT ON COLUMN evaluations.value IS 'The figure; null if undefined.';
COMMENT ON COLUMN evaluations.low IS 'The lower end of the 95% interval, in the unit of value; null if there is none.';
COMMENT ON COLUMN evaluations.high IS 'The upper end of the 95% interval, in the unit of value; null if there is none.';
COMMENT ON COLUMN evaluations.n IS 'Items behind it (count).';
COMMENT ON COLUMN evaluations.n_simulated IS 'How many of these judgments come from simulated annotators (count).';
COMMENT ON COLUMN evaluations.created_at IS 'When the row was first written (UTC).';

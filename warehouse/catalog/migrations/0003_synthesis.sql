-- What synthesis asks for: more kinds of propositions, a judge's verdicts, comparisons, and the ledger's key of a request.
-- Columns that are added may be null, as DuckLake wants it.

ALTER TABLE propositions ADD COLUMN other_parent_id VARCHAR;
COMMENT ON COLUMN propositions.other_parent_id IS 'The second part of a conjunction, by its id in propositions; null for every other kind.';
COMMENT ON COLUMN propositions.kind IS 'How it came about: proposed, imported, negation, paraphrase, strengthened, weakened, conjunction or rewritten.';
COMMENT ON COLUMN propositions.parent_id IS 'The proposition that it was made from, by its id; the first part of a conjunction; null for one that stands alone.';

ALTER TABLE requests ADD COLUMN call_key VARCHAR;
COMMENT ON COLUMN requests.call_key IS 'The key of the call in the ledger: a hash of what was sent. Two requests with one key were paid once. Null in rows older than this column.';

COMMENT ON COLUMN requests.cost IS 'What was paid for it, in the currency of the prices in the settings; null where another request paid for the reply, or prices or counts are not known.';
COMMENT ON COLUMN requests.cached IS 'Whether another request with the same call paid for the reply.';
COMMENT ON COLUMN requests.parameters IS 'The sampling parameters that were sent, the number of the attempt, whether the reply was held to a schema (structured) and came in a batch (JSON).';

ALTER TABLE drops ADD COLUMN kept_id VARCHAR;
COMMENT ON COLUMN drops.kept_id IS 'The row that stands in its place, such as the proposition that a near-duplicate is like; null without one.';

CREATE TABLE verdicts (
  verdict_id VARCHAR NOT NULL,
  proposition_id VARCHAR NOT NULL,
  estimate_id VARCHAR NOT NULL,
  judge VARCHAR NOT NULL,
  judge_version VARCHAR NOT NULL,
  mode VARCHAR NOT NULL,
  confidence DOUBLE,
  reason VARCHAR,
  summary VARCHAR,
  request_id VARCHAR,
  created_at TIMESTAMP WITH TIME ZONE NOT NULL
);
COMMENT ON TABLE verdicts IS 'A judge model''s confidence in one estimate of a proposition on which the panel disagrees, or the reason why there is none.';
COMMENT ON COLUMN verdicts.verdict_id IS 'The id: a hash of the estimate, the judge and its version.';
COMMENT ON COLUMN verdicts.proposition_id IS 'The proposition, by its id in propositions.';
COMMENT ON COLUMN verdicts.estimate_id IS 'The estimate, by its id in estimates.';
COMMENT ON COLUMN verdicts.judge IS 'The judge, by name.';
COMMENT ON COLUMN verdicts.judge_version IS 'The version of the judge: it changes with its prompt or settings.';
COMMENT ON COLUMN verdicts.mode IS 'confidence (a number) or keep_drop (1 for keep, 0 for drop).';
COMMENT ON COLUMN verdicts.confidence IS 'How far the judge trusts the estimate, in [0, 1]; null where its reply could not be read.';
COMMENT ON COLUMN verdicts.reason IS 'Why there is no confidence; null where there is one.';
COMMENT ON COLUMN verdicts.summary IS 'The summary of the estimate''s reasoning that the judge was shown; null where it was shown the reasoning itself or none.';
COMMENT ON COLUMN verdicts.request_id IS 'The request that it was read from, by its id in requests.';
COMMENT ON COLUMN verdicts.created_at IS 'When the row was first written (UTC).';

CREATE TABLE comparisons (
  comparison_id VARCHAR NOT NULL,
  first_id VARCHAR NOT NULL,
  second_id VARCHAR NOT NULL,
  labeler VARCHAR NOT NULL,
  labeler_version VARCHAR NOT NULL,
  more_likely_id VARCHAR,
  reason VARCHAR,
  request_id VARCHAR,
  swapped_request_id VARCHAR,
  created_at TIMESTAMP WITH TIME ZONE NOT NULL
);
COMMENT ON TABLE comparisons IS 'Which of two propositions a labeler finds more likely, asked in both orders and kept only where both answers agree.';
COMMENT ON COLUMN comparisons.comparison_id IS 'The id: a hash of the two propositions, the labeler and its version.';
COMMENT ON COLUMN comparisons.first_id IS 'The one proposition, by its id in propositions: the smaller of the two ids.';
COMMENT ON COLUMN comparisons.second_id IS 'The other proposition, by its id in propositions.';
COMMENT ON COLUMN comparisons.labeler IS 'The labeler, by name.';
COMMENT ON COLUMN comparisons.labeler_version IS 'The version of the labeler.';
COMMENT ON COLUMN comparisons.more_likely_id IS 'The more likely of the two; null where the two orders disagree or a reply could not be read.';
COMMENT ON COLUMN comparisons.reason IS 'Why neither is the more likely one; null where one is.';
COMMENT ON COLUMN comparisons.request_id IS 'The request that showed the first one first, by its id in requests.';
COMMENT ON COLUMN comparisons.swapped_request_id IS 'The request that showed the second one first.';
COMMENT ON COLUMN comparisons.created_at IS 'When the row was first written (UTC).';

-- For synthesis: more kinds of propositions, verdicts of a judge, comparisons, and the ledger key of a request.
-- DuckLake cannot add NOT NULL columns, so added columns may be null.

ALTER TABLE propositions ADD COLUMN other_parent_id VARCHAR;
COMMENT ON COLUMN propositions.other_parent_id IS 'The second part of a conjunction, by its id in propositions; null for every other kind.';
COMMENT ON COLUMN propositions.kind IS 'How it was made: proposed, imported, negation, paraphrase, strengthened, weakened, conjunction or rewritten.';
COMMENT ON COLUMN propositions.parent_id IS 'The proposition that it was derived from, by its id (the first part of a conjunction); null if it was not derived.';

ALTER TABLE requests ADD COLUMN call_key VARCHAR;
COMMENT ON COLUMN requests.call_key IS 'The key of the call in the ledger: a hash of what was sent. Requests with the same key were paid for once. Null in rows older than this column.';

COMMENT ON COLUMN requests.cost IS 'What was paid for it, in the currency of the prices in the settings; null if another request paid for the reply, or if prices or token counts are unknown.';
COMMENT ON COLUMN requests.cached IS 'Whether another request with the same call paid for the reply.';
COMMENT ON COLUMN requests.parameters IS 'The sampling parameters sent, the number of the attempt, whether the reply had to follow a schema (structured) and came in a batch (JSON).';

ALTER TABLE drops ADD COLUMN kept_id VARCHAR;
COMMENT ON COLUMN drops.kept_id IS 'The row that was kept in its place, such as the original of a near-duplicate; null if there is none.';

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
COMMENT ON TABLE verdicts IS 'A judge model''s confidence in one estimate of a proposition on which the panel disagrees, or the reason why it is missing.';
COMMENT ON COLUMN verdicts.verdict_id IS 'The id: a hash of the estimate, the judge and its version.';
COMMENT ON COLUMN verdicts.proposition_id IS 'The proposition, by its id in propositions.';
COMMENT ON COLUMN verdicts.estimate_id IS 'The estimate, by its id in estimates.';
COMMENT ON COLUMN verdicts.judge IS 'The judge, by name.';
COMMENT ON COLUMN verdicts.judge_version IS 'The version of the judge, which changes with its prompt or settings.';
COMMENT ON COLUMN verdicts.mode IS 'confidence (a number) or keep_drop (1 for keep, 0 for drop).';
COMMENT ON COLUMN verdicts.confidence IS 'How far the judge trusts the estimate, in [0, 1]; null if its reply could not be read.';
COMMENT ON COLUMN verdicts.reason IS 'Why there is no confidence; null if there is one.';
COMMENT ON COLUMN verdicts.summary IS 'The summary of the estimate''s reasoning that the judge was shown; null if it was shown the reasoning itself, or nothing.';
COMMENT ON COLUMN verdicts.request_id IS 'The request that it came from, by its id in requests.';
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
COMMENT ON TABLE comparisons IS 'Which of two propositions a labeler finds more likely. Asked in both orders; both answers must agree.';
COMMENT ON COLUMN comparisons.comparison_id IS 'The id: a hash of the two propositions, the labeler and its version.';
COMMENT ON COLUMN comparisons.first_id IS 'The first proposition, by its id in propositions; the smaller of the two ids.';
COMMENT ON COLUMN comparisons.second_id IS 'The second proposition, by its id in propositions.';
COMMENT ON COLUMN comparisons.labeler IS 'The labeler, by name.';
COMMENT ON COLUMN comparisons.labeler_version IS 'The version of the labeler.';
COMMENT ON COLUMN comparisons.more_likely_id IS 'The more likely of the two; null if the two orders disagree or a reply could not be read.';
COMMENT ON COLUMN comparisons.reason IS 'Why neither is more likely; null if one is.';
COMMENT ON COLUMN comparisons.request_id IS 'The request that showed the first proposition first, by its id in requests.';
COMMENT ON COLUMN comparisons.swapped_request_id IS 'The request that showed the second proposition first.';
COMMENT ON COLUMN comparisons.created_at IS 'When the row was first written (UTC).';

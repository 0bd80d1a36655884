-- Propositions that were chosen for more judgments, and estimators as labelers.

CREATE TABLE selections (
  selection_id VARCHAR NOT NULL,
  proposition_id VARCHAR NOT NULL,
  rule VARCHAR NOT NULL,
  value DOUBLE NOT NULL,
  n_judgments BIGINT NOT NULL,
  model_id VARCHAR,
  created_at TIMESTAMP WITH TIME ZONE NOT NULL
);
COMMENT ON TABLE selections IS 'A proposition that odds select chose for another judgment; odds push --selected asks for it. The view chosen has those that still wait.';
COMMENT ON COLUMN selections.selection_id IS 'The id: a hash of the proposition, the rule and n_judgments.';
COMMENT ON COLUMN selections.proposition_id IS 'The proposition, by its id in propositions.';
COMMENT ON COLUMN selections.rule IS 'Why it was chosen: consensus (its SD is large), disagreement (estimator and consensus differ), panel (estimator and panel differ) or uncertainty (the estimator''s distribution is wide).';
COMMENT ON COLUMN selections.value IS 'How much it was in doubt: consensus, the SD of the consensus (a probability); disagreement, the difference in SDs of the consensus; panel, the difference, in [0, 1]; uncertainty, the SD of the level distribution (a probability).';
COMMENT ON COLUMN selections.n_judgments IS 'The valid judgments that it had then (count).';
COMMENT ON COLUMN selections.model_id IS 'The estimator that the rule used: its id in models, or a hash of its files if it is not from this warehouse; null without one.';
COMMENT ON COLUMN selections.created_at IS 'When the row was first written (UTC).';

COMMENT ON COLUMN estimates.method IS 'The elicitation method: verbalised, scale20, token, mean_of_samples or pairwise; estimator for the score of an estimator.';
COMMENT ON COLUMN labelers.method IS 'The elicitation method: verbalised, scale20, token, mean_of_samples or pairwise; estimator for an estimator.';
COMMENT ON COLUMN labelers.endpoint IS 'The endpoint, by its name in the settings; estimator for an estimator, which has none.';
COMMENT ON COLUMN labelers.model IS 'The model, as the endpoint calls it; the id of an estimator.';

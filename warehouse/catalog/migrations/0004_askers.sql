-- Versions: the panel of labelers in the settings, and the version of a proposer.
-- DuckLake cannot add NOT NULL columns, so added columns may be null.

CREATE TABLE labelers (
  labeler_id VARCHAR NOT NULL,
  labeler VARCHAR NOT NULL,
  labeler_version VARCHAR NOT NULL,
  endpoint VARCHAR NOT NULL,
  model VARCHAR NOT NULL,
  prompt VARCHAR NOT NULL,
  prompt_version VARCHAR NOT NULL,
  method VARCHAR NOT NULL,
  parameters VARCHAR,
  in_use BOOLEAN NOT NULL,
  changed_at TIMESTAMP WITH TIME ZONE NOT NULL,
  created_at TIMESTAMP WITH TIME ZONE NOT NULL
);
COMMENT ON TABLE labelers IS 'The versions of labelers: model, prompt, sampling, and whether the settings use them. Written by odds elicit.';
COMMENT ON COLUMN labelers.labeler_id IS 'The id: a hash of the labeler and its version.';
COMMENT ON COLUMN labelers.labeler IS 'The labeler, by name.';
COMMENT ON COLUMN labelers.labeler_version IS 'The version of the labeler: a hash of everything that changes its requests. Two labelers with the same model, prompt and sampling share it.';
COMMENT ON COLUMN labelers.endpoint IS 'The endpoint, by its name in the settings.';
COMMENT ON COLUMN labelers.model IS 'The model, as the endpoint calls it.';
COMMENT ON COLUMN labelers.prompt IS 'The name of the prompt.';
COMMENT ON COLUMN labelers.prompt_version IS 'The version of the prompt: the number in its file and a hash of its text.';
COMMENT ON COLUMN labelers.method IS 'The elicitation method: verbalised, scale20, token, mean_of_samples or pairwise.';
COMMENT ON COLUMN labelers.parameters IS 'The sampling settings, the number of samples or of propositions compared with (JSON); null for a version older than this table.';
COMMENT ON COLUMN labelers.in_use IS 'Whether the settings had it when odds elicit last ran. These versions are the panel.';
COMMENT ON COLUMN labelers.changed_at IS 'When it last came into use, went out of use, or changed otherwise (UTC).';
COMMENT ON COLUMN labelers.created_at IS 'When it was first in use or, for a version older than this table, when its first answer was written (UTC).';

ALTER TABLE requests ADD COLUMN asker_version VARCHAR;
COMMENT ON COLUMN requests.asker_version IS 'The version of the proposer for the kind of hypothesis: a hash of everything that changes its requests. Null in older rows, and for labelers and judges, whose answers have the version.';

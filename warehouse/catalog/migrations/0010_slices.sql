-- Figures of a part of a suite's items.

ALTER TABLE evaluations ADD COLUMN slice VARCHAR;
COMMENT ON COLUMN evaluations.slice IS 'The items that the figure is of, such as source=news, kind=imported, length=short or spread=high (judgments far apart); null for all items of the suite.';
COMMENT ON COLUMN evaluations.evaluation_id IS 'The id: a hash of the model, the training set, suite, subject and metric, and of the slice if there is one.';
ALTER TABLE suites ADD COLUMN format VARCHAR;
COMMENT ON COLUMN suites.format IS 'The format that its file was read as, such as unli or plain; null if it was imported before this was kept.';

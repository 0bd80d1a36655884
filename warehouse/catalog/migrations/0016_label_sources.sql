-- The sources of ordinal labels, since each source has cut points of its own.

ALTER TABLE consensus ADD COLUMN sources VARCHAR[];
COMMENT ON COLUMN consensus.sources IS 'The source of each value that is an ordinal label; empty for a point. Null in rows older than this column.';

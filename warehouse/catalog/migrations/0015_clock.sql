-- The clock of Label Studio, which may be set while a study runs: when a project was read, by both clocks.

ALTER TABLE studio_projects ADD COLUMN read_at TIMESTAMP WITH TIME ZONE;
ALTER TABLE studio_projects ADD COLUMN clock_ahead_s DOUBLE;
COMMENT ON COLUMN studio_projects.read_at IS 'When the last pull began that read something, or saw that the server''s clock was set (UTC, by our clock); null before the first.';
COMMENT ON COLUMN studio_projects.clock_ahead_s IS 'How many seconds the server''s clock was ahead of ours then, to a second or so; negative if behind.';

-- Bonuses: which payments were written to a file for the crowd platform, so that none is written twice.

ALTER TABLE payments ADD COLUMN bonus_at TIMESTAMP WITH TIME ZONE;
COMMENT ON COLUMN payments.bonus_at IS 'When odds annotators bonus last wrote it to a file (UTC); null if it never did.';

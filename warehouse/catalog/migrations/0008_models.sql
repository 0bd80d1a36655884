-- Estimators that a person chose or deleted.

ALTER TABLE models ADD COLUMN promoted_at TIMESTAMP WITH TIME ZONE;
COMMENT ON COLUMN models.promoted_at IS 'When it was chosen instead of the newest of its name (UTC); null if it was not. Written by odds models use.';
ALTER TABLE models ADD COLUMN deleted_at TIMESTAMP WITH TIME ZONE;
COMMENT ON COLUMN models.deleted_at IS 'When its folder was deleted (UTC); null while it can be used. Written by odds models delete.';

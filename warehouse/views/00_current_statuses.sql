-- What each annotator is now: the newest row of annotator_statuses. An annotator without one is active.
-- annotator_id: The annotator, by its id in annotators.
-- status: invited, qualified, active, watched or excluded.
-- reason: Why.
-- decided_by: person, or rule (a setting); rule without a row.
-- since: From when on (UTC); null without a row.
CREATE VIEW current_statuses AS
SELECT
  a.annotator_id, coalesce(s.status, 'active') AS status, coalesce(s.reason, 'no decision yet') AS reason,
  coalesce(s.decided_by, 'rule') AS decided_by, s.since
FROM annotators a
LEFT JOIN (
  SELECT annotator_id, status, reason, decided_by, since FROM annotator_statuses
  QUALIFY row_number() OVER (PARTITION BY annotator_id ORDER BY since DESC, created_at DESC, status_id DESC) = 1
) s ON s.annotator_id = a.annotator_id;

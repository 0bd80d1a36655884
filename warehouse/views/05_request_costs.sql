-- Each request with its cost, counted once, and the labeler version that it was made for.
-- request_id: The request, by its id in requests.
-- labeler: The labeler, by name.
-- labeler_version: The version it was made for: exact if the labeler has one version, else inferred from prompt and time; null if no estimate tells.
-- paid: The price (in the currency of the prices in the settings); null for a cached reply, for the second row of one call, or if unknown.
-- is_unpriced: Whether an unknown amount may have been paid: a reply of its own without a price.
CREATE VIEW request_costs AS
WITH repeated AS (
  SELECT call_key FROM requests WHERE NOT cached AND cost IS NOT NULL AND call_key IS NOT NULL
  GROUP BY call_key HAVING count(*) > 1
), again AS (
  SELECT request_id FROM requests SEMI JOIN repeated USING (call_key) WHERE NOT cached AND cost IS NOT NULL
  QUALIFY row_number() OVER (PARTITION BY call_key ORDER BY created_at, request_id) > 1
), answers AS (
  SELECT labeler, labeler_version, proposition_id AS subject_id, request_id, created_at FROM estimates
  UNION ALL
  SELECT labeler, labeler_version, comparison_id, request_id, created_at FROM comparisons
), versions AS (
  SELECT labeler, count(DISTINCT labeler_version) AS n, min(labeler_version) AS labeler_version
  FROM answers GROUP BY labeler
), traced AS (
  -- Only labelers of several versions are traced. A question's requests are written down before its answer: of the
  -- answers about the same subject, the next one after the request is the one that it led to.
  SELECT
    r.request_id,
    arg_min(a.labeler_version, (
      coalesce(own.model <> r.model OR own.prompt_version <> r.prompt_version, false),
      a.created_at < r.created_at, abs(epoch_us(a.created_at) - epoch_us(r.created_at)), a.labeler_version
    )) AS labeler_version
  FROM requests r
  JOIN versions v ON v.labeler = r.labeler AND v.n > 1
  JOIN answers a ON a.labeler = r.labeler AND a.subject_id = r.subject_id
  LEFT JOIN requests own ON own.request_id = a.request_id
  WHERE r.purpose = 'elicit'
  GROUP BY r.request_id
)
SELECT
  r.request_id, r.labeler,
  CASE WHEN r.purpose = 'elicit' THEN coalesce(t.labeler_version, v.labeler_version) END AS labeler_version,
  CASE WHEN NOT r.cached AND again.request_id IS NULL THEN r.cost END AS paid,
  NOT r.cached AND r.status <> 'failed' AND r.cost IS NULL AS is_unpriced
FROM requests r
LEFT JOIN again ON again.request_id = r.request_id
LEFT JOIN traced t ON t.request_id = r.request_id
LEFT JOIN versions v ON v.labeler = r.labeler AND v.n = 1;

-- What each labeler's requests took, by purpose and model. Cached replies cost nothing and are counted apart.
-- labeler: The labeler, by name.
-- purpose: propose, elicit or judge.
-- model: The model, as the endpoint calls it.
-- n_requests: Requests (count).
-- n_answered: Requests answered (count).
-- n_refused: Requests with a reply that cannot be used (count).
-- n_failed: Requests without a reply (count).
-- n_cached: Requests answered from an earlier call (count).
-- tokens_in: Prompts in all (tokens).
-- tokens_out: Replies in all (tokens).
-- cost: The price in all (US dollars); null where no request told one.
-- mean_latency_s: The mean time from call to reply (seconds).
CREATE VIEW labeler_cost AS
SELECT
  labeler, purpose, model, count(*) AS n_requests, count(*) FILTER (status = 'answered') AS n_answered,
  count(*) FILTER (status = 'refused') AS n_refused, count(*) FILTER (status = 'failed') AS n_failed,
  count(*) FILTER (cached) AS n_cached, coalesce(sum(tokens_in), 0)::BIGINT AS tokens_in,
  coalesce(sum(tokens_out), 0)::BIGINT AS tokens_out, sum(cost) FILTER (NOT cached) AS cost,
  avg(latency_s) FILTER (NOT cached) AS mean_latency_s
FROM requests
GROUP BY labeler, purpose, model;

-- Requests, tokens and cost of each labeler by purpose, model and prompt version. Each payment counts once.
-- labeler: The labeler, proposer or judge, by name.
-- purpose: propose, elicit or judge.
-- model: The model, as the endpoint calls it.
-- prompt: The name of the prompt.
-- prompt_version: The version of the prompt.
-- n_requests: Requests (count).
-- n_answered: Requests answered (count).
-- n_refused: Requests with an unusable reply (count).
-- n_failed: Requests without a reply (count).
-- n_cached: Requests whose reply another request paid for (count).
-- tokens_in: Length of all prompts, including those of cached replies (tokens).
-- tokens_out: Length of all replies, including cached ones (tokens).
-- cost: The total cost, including refused replies (in the currency of the prices in the settings); null if nothing is known.
-- n_unpriced: Paid replies with an unknown price, which cost leaves out (count).
-- cost_per_answer: cost per answered request (in the same currency); null if there is none or a price is unknown.
-- mean_latency_s: The mean time from call to reply, without cached replies (seconds).
CREATE VIEW labeler_cost AS
SELECT
  r.labeler, r.purpose, r.model, r.prompt, r.prompt_version, count(*) AS n_requests,
  count(*) FILTER (r.status = 'answered') AS n_answered, count(*) FILTER (r.status = 'refused') AS n_refused,
  count(*) FILTER (r.status = 'failed') AS n_failed, count(*) FILTER (r.cached) AS n_cached,
  coalesce(sum(r.tokens_in), 0)::BIGINT AS tokens_in, coalesce(sum(r.tokens_out), 0)::BIGINT AS tokens_out,
  sum(c.paid) AS cost, count(*) FILTER (c.is_unpriced) AS n_unpriced,
  CASE WHEN NOT bool_or(c.is_unpriced)
    THEN sum(c.paid) / nullif(count(*) FILTER (r.status = 'answered'), 0) END AS cost_per_answer,
  avg(r.latency_s) FILTER (NOT r.cached) AS mean_latency_s
FROM requests r
JOIN request_costs c ON c.request_id = r.request_id
GROUP BY r.labeler, r.purpose, r.model, r.prompt, r.prompt_version;

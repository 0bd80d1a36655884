-- The split of each proposition: that of its group of premises. No group is in two splits.
-- proposition_id: The proposition, by its id in propositions.
-- premise_id: Its premise, by its id in premises.
-- group_id: The group of its premise, by its id in premise_groups; the premise itself if it has no group.
-- split: train, dev or test: the most held-out split that a file states for the group, else that of its root, the first premise not derived from another.
-- stated_split: The split that a file states for its premise, the most held-out one of several; null if none does.
CREATE VIEW splits AS
SELECT
  p.proposition_id, p.premise_id, coalesce(g.group_id, p.premise_id) AS group_id, coalesce(g.split, p.split) AS split,
  s.split AS stated_split
FROM propositions p
LEFT JOIN premise_groups g ON g.premise_id = p.premise_id
LEFT JOIN (
  SELECT premise_id, arg_min(split, list_position(['test', 'dev', 'train'], split)) AS split
  FROM stated_splits GROUP BY premise_id
) s ON s.premise_id = p.premise_id;

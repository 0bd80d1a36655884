-- The split of each proposition: that of its group of premises. No group is in two splits.
-- proposition_id: The proposition, by its id in propositions.
-- premise_id: Its premise, by its id in premises.
-- group_id: The group of its premise, by its id in premise_groups; the premise itself if it has no group.
-- split: train, dev or test: the split of the group's root, its first premise that was not derived from another.
CREATE VIEW splits AS
SELECT
  p.proposition_id, p.premise_id, coalesce(g.group_id, p.premise_id) AS group_id, coalesce(g.split, p.split) AS split
FROM propositions p LEFT JOIN premise_groups g ON g.premise_id = p.premise_id;

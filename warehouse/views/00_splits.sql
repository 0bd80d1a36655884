-- The split of each proposition, and the only one that counts: that of its group of premises, which never lies in two.
-- proposition_id: The proposition, by its id in propositions.
-- premise_id: Its premise, by its id in premises.
-- group_id: The group of its premise, by its id in premise_groups; the premise itself where it stands alone.
-- split: train, dev or test: that of the group's root, the first of its premises that was not made from another.
CREATE VIEW splits AS
SELECT
  p.proposition_id, p.premise_id, coalesce(g.group_id, p.premise_id) AS group_id, coalesce(g.split, p.split) AS split
FROM propositions p LEFT JOIN premise_groups g ON g.premise_id = p.premise_id;

-- A group of premises now takes the split of its root instead of the most held-out one of its members, and an imported
-- update takes the split of its parent's premise. Changes are listed in split_moves.

CREATE TABLE split_moves (
  proposition_id VARCHAR NOT NULL,
  before VARCHAR NOT NULL,
  after VARCHAR NOT NULL,
  created_at TIMESTAMP WITH TIME ZONE NOT NULL
);
COMMENT ON TABLE split_moves IS 'Propositions whose split changed with a new rule, when this warehouse was updated. Datasets published before are unchanged.';
COMMENT ON COLUMN split_moves.proposition_id IS 'The proposition, by its id in propositions.';
COMMENT ON COLUMN split_moves.before IS 'Its split in training sets before: train, dev or test.';
COMMENT ON COLUMN split_moves.after IS 'Its split in the view splits since then.';
COMMENT ON COLUMN split_moves.created_at IS 'When it moved (UTC).';

CREATE OR REPLACE TEMPORARY TABLE temp.main.split_before AS
SELECT p.proposition_id, coalesce(g.split, p.split) AS split
FROM propositions p LEFT JOIN premise_groups g ON g.premise_id = p.premise_id;

-- Each derived premise follows its parents to the first premise; the depth limit ends a cycle.
CREATE OR REPLACE TEMPORARY TABLE temp.main.split_root AS
WITH RECURSIVE derived AS (
  SELECT DISTINCT c.premise_id, p.premise_id AS parent
  FROM propositions c JOIN propositions p ON p.proposition_id = c.parent_id WHERE p.premise_id <> c.premise_id
), up AS (
  SELECT premise_id, parent AS root, 1 AS depth FROM derived
  UNION ALL
  SELECT u.premise_id, d.parent, u.depth + 1 FROM up u JOIN derived d ON d.premise_id = u.root WHERE u.depth < 50
), first AS (
  SELECT premise_id, arg_min(split, proposition_id) AS split FROM propositions GROUP BY premise_id
)
SELECT u.premise_id, arg_min(f.split, (-u.depth, u.root)) AS split
FROM up u JOIN first f ON f.premise_id = u.root GROUP BY u.premise_id;

UPDATE propositions SET split = r.split
FROM temp.main.split_root r WHERE r.premise_id = propositions.premise_id AND r.split <> propositions.split;

CREATE OR REPLACE TEMPORARY TABLE temp.main.split_group AS
SELECT g.group_id, arg_min(p.split, (r.premise_id IS NOT NULL, p.created_at, p.premise_id)) AS split
FROM premise_groups g JOIN propositions p ON p.premise_id = g.premise_id
LEFT JOIN temp.main.split_root r ON r.premise_id = g.premise_id
GROUP BY g.group_id;

UPDATE premise_groups SET split = r.split
FROM temp.main.split_group r WHERE r.group_id = premise_groups.group_id AND r.split <> premise_groups.split;

INSERT INTO split_moves
SELECT p.proposition_id, b.split, coalesce(g.split, p.split), now()
FROM propositions p JOIN temp.main.split_before b ON b.proposition_id = p.proposition_id
LEFT JOIN premise_groups g ON g.premise_id = p.premise_id
WHERE b.split <> coalesce(g.split, p.split);

DROP TABLE temp.main.split_before;
DROP TABLE temp.main.split_root;
DROP TABLE temp.main.split_group;

COMMENT ON COLUMN propositions.split IS 'The split from its root premise when it was added. Use the view splits instead, which has the split of its group.';
COMMENT ON COLUMN premise_groups.split IS 'The split of the whole group, which is that of its root: of the premises not derived from another, the one whose propositions came first.';

COMMENT ON COLUMN consensus_fits.mode IS 'full (everything), incremental (only propositions with new judgments), or mean (too few judgments overlap to tell annotators apart, so the consensus is the mean of each proposition).';

-- The result of a migration's last query is shown to the person who opened the warehouse.
SELECT format(
  '{} of {} propositions changed their split ({}): a group of premises now follows its root. Published datasets keep '
  || 'what they had, the next one has the new splits, and the table split_moves lists every change',
  sum(n), (SELECT count(*) FROM propositions), string_agg(n || ' from ' || before || ' to ' || after, ', ' ORDER BY before, after)
) AS said
FROM (SELECT before, after, count(*) AS n FROM split_moves GROUP BY ALL) HAVING count(*) > 0;

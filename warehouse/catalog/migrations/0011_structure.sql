-- Evaluation sets whose items are structures of several propositions, and sets about coherence.

ALTER TABLE suite_items ADD COLUMN role VARCHAR;
COMMENT ON COLUMN suite_items.role IS 'What the proposition is in its item. structure: value of NAME (a value of a factor, given the story) or outcome (given the story and the value before it), or the name of a node of a tree; coherence: hypothesis, negation, paraphrase, conjunction, strengthened or weakened. Null in other families.';
ALTER TABLE suite_items ADD COLUMN relations VARCHAR;
COMMENT ON COLUMN suite_items.relations IS 'structure: the relations of a tree, on its root, as a JSON list of [place, entails or contradicts, place, weight]; null for every other proposition.';

COMMENT ON TABLE suite_items IS 'One proposition of an item of a suite. An item of the family correlation has one, of update two (without and with the update), of choice one for each alternative, of structure those of a decision or a tree, of coherence those that one check compares.';
COMMENT ON COLUMN suites.family IS 'What is asked: correlation (a probability each), update (does an update raise or lower it?), choice (which alternative is the most probable?), structure (what follows from many probabilities together?) or coherence (do the probabilities fit together?).';
COMMENT ON COLUMN suite_items.label IS 'correlation: the probability, in [0, 1]; update: 1 if the update must raise it, 0 if it must lower it, null without the update; choice: 1 for the right alternative, 0 for others; structure: 1 for the right outcome, 0 for others, null for a value of a factor; 1 if the root of a tree is true, 0 if it is false, null for other nodes; coherence: null.';

"""Published training sets: their rows, shards, manifest, card and what a split must not part."""

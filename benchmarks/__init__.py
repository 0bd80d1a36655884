"""One script a figure, each beside the peer that it names, both in one run."""

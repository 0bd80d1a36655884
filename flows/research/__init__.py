"""For researchers: queries, exports, figures, lineage."""

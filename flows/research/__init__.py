"""What researchers ask of the warehouse: queries, exports, figures, lineage."""

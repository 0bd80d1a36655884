"""What flows and people ask of the warehouse."""

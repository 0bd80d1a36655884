"""What rests on what: from a score back to the judgments, and forward."""

"""Who and what an evaluation measures, and the data of its report."""

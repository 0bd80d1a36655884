"""The page that annotators see."""

"""Who is asked: the settings of endpoints, labelers, proposers and judges, and their versions."""

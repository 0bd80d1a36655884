"""What `odds ablate` needs: the plan, the training sets of its variants, what they are measured on, and the tables."""

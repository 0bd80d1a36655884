"""Who is asked: endpoints, labelers, proposers and judges, and the versions of what they are asked."""

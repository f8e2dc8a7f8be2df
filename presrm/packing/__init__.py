"""Trees in one row: the layout (pure) and the forward pass that gives log-probabilities."""

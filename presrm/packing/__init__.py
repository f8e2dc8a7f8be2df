"""Trees in one row: the layout (pure), attention by it, and the forward pass that gives log-probabilities."""

"""Final answers: where they stand, how they are written, and a worker that computes with them in hard limits."""

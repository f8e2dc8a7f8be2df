"""Rows of neighbouring tools, read and written: problems, pairs, solutions, labelled steps."""

"""Credit: trees -> lessons. Pure functions that account for every expansion."""

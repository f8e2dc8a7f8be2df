"""A run, judged solutions or an evaluation as one HTML page that needs no network, no server and no other file."""

"""Config -> parts: the only place that names concrete parts."""

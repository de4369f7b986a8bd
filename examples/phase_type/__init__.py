"""A phase type of one's own."""

"""Programs that show how the library is extended; each runs in a test."""

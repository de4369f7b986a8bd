"""Programs that show how the library is used and extended; each runs in a test."""

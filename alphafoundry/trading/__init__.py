"""The desk's books: portfolio and risk."""

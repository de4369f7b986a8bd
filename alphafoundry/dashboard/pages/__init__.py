"""The pages, one module each: its tables, its charts, and its routes."""

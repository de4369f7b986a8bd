"""What Prefect shows of a supervision."""

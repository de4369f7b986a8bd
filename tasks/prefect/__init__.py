"""What every flow needs of Prefect: its server, caps, retries, cancellation and task runners."""

"""Units of work: Prefect tasks with their tags, retries and names, over `alphafoundry`."""

"""Deployments, schedules and limits, built from `prefect.yaml` and `config/`."""

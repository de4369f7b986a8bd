"""The tasks of a workflow: its run, its phases, its report."""

"""Tasks of the desk."""

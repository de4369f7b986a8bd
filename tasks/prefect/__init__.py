"""What every flow needs of Prefect: its server, caps, retries, cancellation and task runners."""

import warnings

# Prefect warns at import where the parent of its home is not there yet. What uses the home makes
# it, or says in one line why that is not possible.
warnings.filterwarnings("ignore", message="Failed to create the Prefect home directory")

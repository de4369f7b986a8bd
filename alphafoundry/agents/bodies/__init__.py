"""The agents themselves, one module each."""

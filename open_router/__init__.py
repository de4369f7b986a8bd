"""The name under which older programs import the generation of algorithms."""

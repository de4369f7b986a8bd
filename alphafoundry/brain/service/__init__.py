"""The parts of the local BRAIN server; `alphafoundry.brain.server` puts them together."""

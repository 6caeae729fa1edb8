"""Writes of lineage, one function each. Logging a run is not audited; registering from it is."""

"""Writes of the registry: lock, may you, is it possible now, do the rules allow it, write, emit."""

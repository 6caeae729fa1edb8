"""Where bytes lie, under their SHA-256."""

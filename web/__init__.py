"""Doors: each parses, calls one service or query, and encodes. No rules, no writes, no transactions."""

"""Writes about accounts, one function each."""

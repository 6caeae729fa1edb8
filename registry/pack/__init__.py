"""The evidence pack of a version: one zip that tells who vouched for what, when, on which evidence."""

from registry.pack.writing import Packed, packed, shown

__all__ = ["Packed", "packed", "shown"]

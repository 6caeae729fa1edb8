"""The formats in which an event is told: an event in, headers and signed bytes out. Pure Python, no database."""

from registry.formats.examples import tested
from registry.formats.message import Message
from registry.formats.sentences import sentence
from registry.formats.table import (
    Format,
    asked_for,
    example_of,
    expresses,
    goes_by,
    names_of,
    tells,
    verbs_behind,
    written,
)
from registry.formats.told import Told, payload

__all__ = [
    "Format",
    "Message",
    "Told",
    "asked_for",
    "example_of",
    "expresses",
    "goes_by",
    "names_of",
    "payload",
    "sentence",
    "tells",
    "tested",
    "verbs_behind",
    "written",
]

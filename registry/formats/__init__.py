"""The formats in which an event is told: an event in, headers and signed bytes out. Pure Python, no database."""

from registry.formats.examples import tested
from registry.formats.message import Message
from registry.formats.sentences import sentence
from registry.formats.table import Format, example_of, expresses, tells, written
from registry.formats.told import Told, payload

__all__ = [
    "Format",
    "Message",
    "Told",
    "example_of",
    "expresses",
    "payload",
    "sentence",
    "tells",
    "tested",
    "written",
]

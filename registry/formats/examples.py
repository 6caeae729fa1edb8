"""What a test call sends where a format has no words for a test: an event that it knows, of a model that is none."""

from __future__ import annotations

from dataclasses import replace

from accounts.verbs import Verb
from registry.formats.table import Format, expresses
from registry.formats.told import Told


def tested(form: Format, told: Told) -> Told:
    """The event `webhook.tested` itself, or for the formats that do not know it a version that was registered."""
    if expresses(form, told):
        return told
    data = {
        "model": "example",
        "version": 1,
        "source": "models:/example/1",
        "description": "A test call: nothing was registered.",
        "tags": {},
    }
    return replace(told, verb=Verb.VERSION_REGISTERED, model="example", subject="example v1", data=data)

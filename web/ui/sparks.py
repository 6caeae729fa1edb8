"""The small line of a model's headline metric."""

from __future__ import annotations

from django.utils.safestring import SafeString

from registry.headline import Headline
from web.ui.charts import sparkline
from web.ui.tags import plain_number


def spark(line: Headline) -> SafeString:
    """The headline over its versions, and in words for those who do not see it; empty for a single version."""
    (first, before), (last, now) = line.points[0], line.points[-1]
    label = f"{line.metric}, v{first} to v{last}: from {plain_number(before)} to {plain_number(now)}"
    return sparkline(label, line.values)

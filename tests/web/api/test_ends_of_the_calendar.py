"""Times at the ends of the calendar, where one asks for events and deliveries."""

from __future__ import annotations

import pytest

from accounts.actor import Actor
from tests import make
from tests.web.api.conftest import api_of


@pytest.mark.django_db
@pytest.mark.parametrize("when", ["0001-01-01T00:00:00Z", "0001-01-01", "9999-12-31T23:59:59.999999Z"])
def test_a_time_at_an_end_of_the_calendar_is_one_like_others(administrator: Actor, when: str) -> None:
    api = api_of(administrator)
    make.model(administrator)
    here = f"webhooks/{api('POST', 'webhooks', {'url': 'https://example.org/hook'}).json()['id']}"
    answers = [api("GET", f"{path}={when}") for path in
               ("events?since", f"{here}/deliveries?since", f"{here}/deliveries?until")]  # fmt: skip
    answers.append(api("POST", f"{here}/redeliver", {"since": when}))
    assert {answer.status_code for answer in answers} == {200}

"""An alias that a policy protects, moved by the stock client: a promotion, as on every door."""

from __future__ import annotations

from pathlib import Path

import pytest

from accounts.actor import Actor
from registry.models import Promotion
from registry.policy import Scope
from registry.services import policies, promotions
from tests import make
from tests.live import ROOT, Live
from tests.web.mlflow.conftest import Door
from tests.web.mlflow.test_clients import GENERATIONS, run


@pytest.mark.django_db
def test_it_is_refused_with_what_is_missing_until_it_is_approved(
    ci: Door, root: Door, reviewer: Actor, maintainer: Actor
) -> None:
    ci.version()
    ci.version()
    policies.write(maintainer, Scope(pattern="churn"), "@champion", {})
    asked = {"name": "churn", "alias": "champion", "version": "1"}
    refused = ci.post("mlflow/registered-models/alias", asked)
    promotion = Promotion.objects.get()
    assert (refused.status, refused.code) == (403, "PERMISSION_DENIED")
    assert "1 more approval" in refused.message
    assert refused.message.endswith(promotion.page)
    assert ci.get("mlflow/registered-models/alias", name="churn", alias="champion").status == 400
    promotions.approve(reviewer, promotion.pk, evidence=make.evidence(promotion))
    found = ci.get("mlflow/registered-models/alias", name="churn", alias="champion").body["model_version"]
    assert found["version"] == "1"
    assert ci.post("mlflow/registered-models/alias", asked).status == 200
    gone = ci.post("mlflow/registered-models/alias", {"name": "churn", "alias": "champion"}, method="DELETE")
    assert (gone.status, gone.code) == (403, "PERMISSION_DENIED")
    assert root.post("mlflow/registered-models/alias", {**asked, "version": "2"}).status == 200
    assert Promotion.objects.filter(bypass=True, to_review=True, target="@champion").count() == 1


@pytest.mark.parametrize("generation", GENERATIONS)
def test_the_stock_client_is_told_at_once(live: Live, generation: str, tmp_path: Path) -> None:
    script = ROOT / "tests" / "web" / "mlflow" / "protected_alias.py"
    told = run(
        live,
        generation,
        tmp_path,
        str(script),
        f"protected with {generation}",
        VOUCH_REVIEWER_TOKEN=live.token("reviewer"),
        VOUCH_ADMIN_TOKEN=live.token("admin"),
        MLFLOW_HTTP_REQUEST_MAX_RETRIES="7",  # the client's own number: it must not come to that
    )
    assert "all is well" in told

"""What every endpoint of the MLflow door has in common: methods, the token, refusals, the form of the answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Concatenate

import orjson
from django.db import OperationalError
from django.http import HttpRequest, HttpResponse, HttpResponseBase, UnreadablePostError
from django.views.decorators.csrf import csrf_exempt

from accounts.actor import Actor
from core.errors import Invalid, Refusal
from lineage.storage.blobs import StoreFails
from web.auth import actor_of
from web.mlflow import errors
from web.mlflow.wire import Fields, fields_of

# Most routes are the same for the clients of MLflow and of Databricks: either's header is looked at everywhere.
WORKSPACE_HEADER = "X-MLFLOW-WORKSPACE"
DATABRICKS_WORKSPACE_HEADER = "X-Databricks-Workspace-Id"  # its clients take a workspace's id for a number

View = Callable[Concatenate[Actor, HttpRequest, ...], HttpResponseBase]
JsonView = Callable[Concatenate[Actor, Fields, ...], dict[str, Any]]


class BodyCutOff(Invalid):
    """The connection ended before the whole body had arrived: send it again."""

    field = "body"


def endpoint(**by_method: View) -> Callable[..., HttpResponseBase]:
    """A Django view that authenticates the caller and runs the view of the request's method."""

    def view(request: HttpRequest, **captured: str) -> HttpResponseBase:
        actor = actor_of(request, WORKSPACE_HEADER, number_header=DATABRICKS_WORKSPACE_HEADER)
        wanted = by_method.get(request.method or "")
        if wanted is None:
            return errors.wrong_method(request, list(by_method))
        return wanted(actor, request, **captured)

    return guarded(view)


def guarded(answering: Callable[..., HttpResponseBase]) -> Callable[..., HttpResponseBase]:
    """A Django view that answers as `answering` does, and in the form of this door where it raises a refusal."""

    @csrf_exempt
    def view(request: HttpRequest, **captured: str) -> HttpResponseBase:
        try:
            return answering(request, **captured)
        except Refusal as refusal:
            return errors.refused(request, refusal)
        except UnreadablePostError:
            return errors.refused(request, BodyCutOff())
        except StoreFails as error:
            return errors.store_fails(request, error)
        except OperationalError as error:
            if answer := errors.busy(request, error):
                return answer
            raise

    return view


def json(view: JsonView) -> View:
    """A view that takes the request's fields and gives the object to answer with."""

    def answering(actor: Actor, request: HttpRequest, **captured: str) -> HttpResponse:
        return encoded(view(actor, fields_of(request), **captured))

    return answering


def bare(view: Callable[Concatenate[Actor, ...], dict[str, Any]]) -> View:
    """A view of which the path says all: what else is sent is not looked at, as clients send no content type then."""

    def answering(actor: Actor, request: HttpRequest, **captured: str) -> HttpResponse:
        return encoded(view(actor, **captured))

    return answering


def encoded(body: dict[str, Any], **headers: str) -> HttpResponse:
    """`body` as the 200 that every success is: clients take 201 for a failure."""
    content = orjson.dumps(body)
    length = str(len(content))
    return HttpResponse(content, content_type="application/json", headers={**headers, "Content-Length": length})

"""What frozen files declare: the packages that a model runs with, and the columns of its signature.

Read as text, from small files, and never run: what a line says is compared, not resolved.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import structlog

from core import plain_yaml
from core.errors import shown
from core.plain_yaml import BadYaml
from lineage.inspection import Contents, Listed
from lineage.storage import store

READ_LIMIT = 256 * 1024  # bytes; a longer file is not opened
_CARD_LIMIT = 64 * 1024
_MOST = 2000  # packages, or columns, of one version
_TEXT = 200  # characters of a name, a pin or a type

log = structlog.get_logger()

_PIPS = frozenset({"requirements.txt"})
_CONDAS = frozenset({"conda.yaml", "conda.yml", "environment.yml", "environment.yaml"})
_PYTHONS = frozenset({"python_env.yaml"})


@dataclass(frozen=True)
class Declared:
    """What a version's files say; `unread` says in words what could not be read, empty when nothing."""

    packages: Mapping[str, str] = field(default_factory=dict)  # by name: what is asked of it
    columns: Mapping[str, str] = field(default_factory=dict)  # by kind and name, such as `input age`: the type
    card: str = ""  # the model card, if it is short
    files: tuple[str, ...] = ()  # those that were looked at
    unread: tuple[str, ...] = ()


def declaring(contents: Contents | None) -> set[str]:
    """The paths of the MLmodel file, of what lies beside it and says what it runs with, and of the first model card."""
    if contents is None:
        return set()
    beside = contents.mlmodel.rpartition("/")[0]
    near = {path for path in contents.environment if path.rpartition("/")[0] == beside and _kind(path)}
    return {path for path in (contents.mlmodel, *contents.model_cards[:1], *near) if path}


def declared(files: Iterable[Listed]) -> Declared:
    """What these files declare, those that `declaring` named.

    Each is read unless this process has read it lately: not to be called in a transaction.
    """
    pins: dict[str, list[str]] = {}
    columns: dict[str, str] = {}
    card, unread = "", []
    looked_at = list(files)
    for file in looked_at:
        kind = _kind(file.path)
        limit = READ_LIMIT if kind else _CARD_LIMIT
        if file.size > limit:
            unread.append(f"{shown(file.path)} has {file.size} bytes, and {limit} at most are read")
            continue
        try:
            said = _read(file.sha256, file.size, kind)
        except (OSError, BadYaml) as error:
            why = error.message if isinstance(error, BadYaml) else "the store does not give it"
            log.warning("file not read", path=file.path, sha256=file.sha256, why=why)
            unread.append(f"{shown(file.path)}: {why}")
            continue
        if kind == "mlmodel":
            columns = dict(said)
        elif kind:
            for name, pin in said:
                if pin not in pins.setdefault(name, []):
                    pins[name].append(pin)
        else:
            card = said[0][1]
    packages = {name: ", ".join(said) for name, said in list(pins.items())[:_MOST]}
    return Declared(packages, columns, card, tuple(file.path for file in looked_at), tuple(unread))


def _kind(path: str) -> str:
    name = path.rpartition("/")[2].lower()
    kinds = {"pip": _PIPS, "conda": _CONDAS, "python": _PYTHONS, "mlmodel": {"mlmodel"}}
    return next((kind for kind, names in kinds.items() if name in names), "")


@lru_cache(maxsize=256)
def _read(sha256: str, size: int, kind: str) -> tuple[tuple[str, str], ...]:
    """What a file of this digest says, as pairs; the same bytes say the same, so they are read once."""
    data = store.read_blob(sha256, size + 1)
    if not kind:
        return (("card", data.decode("utf-8", "replace")),)
    if kind == "pip":
        return tuple(_pins(data.decode("utf-8", "replace").replace("\\\n", " ").splitlines()))[:_MOST]
    document = plain_yaml.read(data)
    if not isinstance(document, dict):
        return ()
    says = {"conda": _conda, "python": _python, "mlmodel": _signature}[kind]
    return tuple(says(document))[:_MOST]


# --- Packages ---------------------------------------------------------------------------------------------------------

_PIN = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)(\s*\[[^\]]*\])?\s*(.*)", re.DOTALL)
_CONDA_PIN = re.compile(r"(?:[\w.-]+::)?([A-Za-z0-9_][A-Za-z0-9._-]*)\s*(.*)", re.DOTALL)


def _pins(lines: Collection[object]) -> Iterator[tuple[str, str]]:
    """The packages of requirement lines; options and what names no package are left out."""
    for line in lines:
        bare = re.split(r"(?:^|\s)#", line, maxsplit=1)[0].split(" --")[0].strip() if isinstance(line, str) else ""
        if bare and not bare.startswith("-") and (found := _PIN.match(bare)):
            extras = "".join((found[2] or "").split())
            yield _name(found[1]) + shown(extras[:_TEXT]), _asked(found[3])


def _conda(document: Mapping[Any, Any]) -> Iterator[tuple[str, str]]:
    for each in _list(document.get("dependencies")):
        if isinstance(each, dict):
            yield from _pins(_list(each.get("pip")))
        elif isinstance(each, str) and (found := _CONDA_PIN.match(each.strip())):
            asked = found[2].strip()
            # `=3.11.7` of conda is what pip writes as `==3.11.7`: the same package must not look changed.
            exact = re.fullmatch(r"=([^=<>!]+)", asked)
            yield _name(found[1]), _asked(f"=={exact[1]}" if exact else asked)


def _python(document: Mapping[Any, Any]) -> Iterator[tuple[str, str]]:
    if isinstance(document.get("python"), str | int | float):
        yield "python", _asked(f"=={document['python']}")
    yield from _pins(_list(document.get("build_dependencies")))
    yield from _pins(_list(document.get("dependencies")))


def _name(name: str) -> str:
    """As packages are told apart, whatever somebody wrote: PEP 503."""
    return re.sub(r"[-_.]+", "-", name).lower()[:_TEXT]


def _asked(pin: str) -> str:
    return shown(" ".join(pin.split())[:_TEXT]) or "any version"


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


# --- Signature --------------------------------------------------------------------------------------------------------


def _signature(document: Mapping[Any, Any]) -> Iterator[tuple[str, str]]:
    signature = document.get("signature")
    if not isinstance(signature, dict):
        return
    for key, kind in (("inputs", "input"), ("outputs", "output"), ("params", "parameter")):
        for place, column in enumerate(_columns(signature.get(key))):
            name = column.get("name") or f"number {place + 1}"
            yield f"{kind} {shown(str(name)[:_TEXT])}", _type(column)


def _columns(schema: object) -> list[dict[Any, Any]]:
    """MLflow writes a schema as JSON in a string: a list of columns."""
    try:
        said = json.loads(schema) if isinstance(schema, str) else schema
    except (ValueError, RecursionError):
        return []
    return [each for each in _list(said) if isinstance(each, dict)][:_MOST]


def _type(column: Mapping[Any, Any]) -> str:
    tensor = column.get("tensor-spec")
    if isinstance(tensor, dict):
        told = f"tensor of {tensor.get('dtype')}, shape {tensor.get('shape')}"
    elif "default" in column:
        told = f"{column.get('type') or column.get('dtype')}, by default {column['default']}"
    else:
        told = str(column.get("type") or column.get("dtype"))
    return shown(told[:_TEXT]) + (", optional" if column.get("required") is False else "")

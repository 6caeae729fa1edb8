"""What lies in a set of files, as gates ask and reviewers look: seen from names and a few small files.

Nothing is loaded, unpacked or run. The store is read by whoever calls: `wanted` says which files, `contents` judges.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, NamedTuple, Self

from core import plain_yaml
from core.errors import shown
from core.plain_yaml import BadYaml
from lineage import pickles

FORMAT = 1  # of what is kept; with another one, a migration empties `Manifest.inspected` and all are looked at again
READ_LIMIT = plain_yaml.LIMIT  # bytes; a longer file is not opened
HEADINGS_KEPT = 100
_CARDS_READ = 5
_SCANNED = 16
_KEPT = 50  # of each other kind
_TEXT = 120  # characters of a heading or name

_ENVIRONMENTS = frozenset(
    {"requirements.txt", "requirements.lock", "conda.yaml", "conda.yml", "environment.yml", "environment.yaml",
     "python_env.yaml", "conda-lock.yml", "pixi.lock", "poetry.lock", "pdm.lock", "uv.lock", "pylock.toml",
     "pipfile.lock", "renv.lock"}
)  # fmt: skip
_CARDS = frozenset({"readme.md", "model_card.md", "modelcard.md", "model-card.md"})
_PROSE = (".txt", ".md", ".yaml", ".yml", ".json", ".toml", ".lock", ".py", ".csv", ".html", ".png", ".svg")


class Listed(NamedTuple):
    """A file as its manifest lists it; size in bytes."""

    path: str
    sha256: str
    size: int


@dataclass(frozen=True)
class Contents:
    """What was seen. Paths are those of the manifest, lists are cut to a bounded length.

    `mlmodel` is the shallowest MLmodel file and `input_example` the example it names, each empty when there is none.
    Without `mlmodel_read` it could not be read, and what it says of signature, example and flavors is not known;
    `pickles` are files that can run code when loaded, `pickle_count` how many in all; `problem` says in words what
    could not be read, empty when nothing.
    """

    format: int = FORMAT
    mlmodel: str = ""
    mlmodel_read: bool = False
    signature_inputs: bool = False
    signature_outputs: bool = False
    input_example: str = ""
    flavors: tuple[str, ...] = ()
    environment: tuple[str, ...] = ()
    model_cards: tuple[str, ...] = ()
    headings: tuple[str, ...] = ()
    pickles: tuple[str, ...] = ()
    pickle_count: int = 0
    problem: str = ""

    @property
    def has_signature(self) -> bool:
        """Whether the model says what goes in or what comes out."""
        return self.signature_inputs or self.signature_outputs

    @classmethod
    def from_json(cls, kept: Mapping[str, Any]) -> Self:
        """What `as_json` gave."""
        known = {field.name: kept[field.name] for field in fields(cls) if field.name in kept}
        values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in known.items()}
        return cls(**values)

    def as_json(self) -> dict[str, Any]:
        """As JSON keeps it."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}


def wanted(files: Sequence[Listed]) -> list[Listed]:
    """Those of the files whose bytes `contents` would look at: few, and none longer than READ_LIMIT."""
    mlmodel = _mlmodel(files)
    cards = _cards(files)[:_CARDS_READ]
    first = [file for file in (mlmodel, *cards) if file and file.size <= READ_LIMIT]
    return list(dict.fromkeys(first + _scanned(files)))


def contents(files: Sequence[Listed], read: Mapping[str, bytes]) -> Contents:
    """What lies in these files; `read` holds, by path, the bytes of those `wanted`. Bad ones give a `problem`."""
    mlmodel, cards = _mlmodel(files), _cards(files)
    about = _About()
    if mlmodel and mlmodel.path in read:
        about = _read_mlmodel(mlmodel.path, read[mlmodel.path], {file.path for file in files})
    elif mlmodel:
        about = _About(problem=f"{mlmodel.path} is not read: it has {mlmodel.size} bytes")
    titles = [title for card in cards for title in headings(read.get(card.path, b"").decode("utf-8", "replace"))]
    runs_code = {file.path for file in _scanned(files) if pickles.runs_code(read.get(file.path, b""))}
    pickled = [f.path for f in files if pickles.named_like_one(f.path) or f.path in runs_code | about.pickled]
    return Contents(
        mlmodel=mlmodel.path if mlmodel else "",
        mlmodel_read=about.read,
        signature_inputs=about.inputs,
        signature_outputs=about.outputs,
        input_example=about.example,
        flavors=about.flavors,
        environment=_kept(file.path for file in files if _name(file.path).lower() in _ENVIRONMENTS),
        model_cards=_kept(card.path for card in cards),
        headings=tuple(titles[:HEADINGS_KEPT]),
        pickles=_kept(pickled),
        pickle_count=len(pickled),
        problem=shown(about.problem),
    )


# --- Which files ------------------------------------------------------------------------------------------------------


def _name(path: str) -> str:
    return path.rpartition("/")[2]


def _shallow(file: Listed) -> tuple[int, str]:
    return file.path.count("/"), file.path


def _mlmodel(files: Iterable[Listed]) -> Listed | None:
    return min((file for file in files if _name(file.path) == "MLmodel"), key=_shallow, default=None)


def _cards(files: Iterable[Listed]) -> list[Listed]:
    return sorted((file for file in files if _name(file.path).lower() in _CARDS), key=_shallow)


def _scanned(files: Iterable[Listed]) -> list[Listed]:
    """Small files whose opcodes are looked at: those first whose name promises no text, for a name proves nothing."""
    small = [file for file in files if 0 < file.size <= READ_LIMIT and not pickles.named_like_one(file.path)]
    return sorted(small, key=lambda file: (file.path.lower().endswith(_PROSE), *_shallow(file)))[:_SCANNED]


def _kept(paths: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(paths)[:_KEPT])


# --- MLmodel ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _About:
    read: bool = False
    inputs: bool = False
    outputs: bool = False
    example: str = ""
    flavors: tuple[str, ...] = ()
    pickled: frozenset[str] = frozenset()
    problem: str = ""


def _read_mlmodel(path: str, data: bytes, there: set[str]) -> _About:
    try:
        document = plain_yaml.read(data)
    except BadYaml as bad:
        return _About(problem=f"{path}: {bad.message}")
    if not isinstance(document, dict):
        return _About(problem=f"{path} is not a mapping, as MLflow writes it")
    beside = path[: -len("MLmodel")]
    signature, flavors = _mapping(document, "signature"), _mapping(document, "flavors")
    example = _mapping(document, "saved_input_example_info").get("artifact_path")
    missing = bool(example) and f"{beside}{example}" not in there
    return _About(
        read=True,
        inputs=_is_schema(signature.get("inputs")),
        outputs=_is_schema(signature.get("outputs")),
        example=f"{beside}{example}" if example and not missing else "",
        flavors=tuple(sorted(shown(str(name)[:_TEXT]) for name in flavors)[:_KEPT]),
        pickled=frozenset(f"{beside}{name}" for name in map(_pickled, flavors.values()) if name),
        problem=f"{path} names the input example {shown(example)!r}, which is not there" if missing else "",
    )


def _mapping(document: Mapping[Any, Any], key: str) -> dict[Any, Any]:
    value = document.get(key)
    return value if isinstance(value, dict) else {}


def _is_schema(value: object) -> bool:
    """MLflow writes a schema as JSON in a string; an empty list of columns says nothing."""
    return isinstance(value, str) and value.strip() not in ("", "null", "[]")


def _pickled(flavor: object) -> str:
    """The file that a flavor says it pickled, whatever its name; what skops wrote is none."""
    if not isinstance(flavor, dict) or flavor.get("serialization_format") == "skops":
        return ""
    return str(flavor.get("pickled_model") or "")


# --- Model cards ------------------------------------------------------------------------------------------------------


def headings(text: str) -> list[str]:
    """The headings of a markdown text, `# Title` or underlined, outside front matter and code: the first 100, cut."""
    lines = text.splitlines()
    if lines and lines[0].strip() == "---" and "---" in lines[1:]:
        lines = lines[lines.index("---", 1) + 1 :]
    found: list[str] = []
    fence, above = "", ""
    for line in lines:
        if len(found) == HEADINGS_KEPT:
            break
        bare = line.strip()
        if not fence and line.startswith(("    ", "\t")):
            continue
        if fence or bare.startswith(("```", "~~~")):
            if not fence:
                fence = bare[:3]
            elif bare.startswith(fence):
                fence = ""
            above = ""
            continue
        if above and len(bare) > 1 and bare.strip(bare[0]) == "" and bare[0] in "=-":
            found.append(above)
        elif title := _titled(bare):
            found.append(title)
        above = "" if _titled(bare) or bare.startswith(("|", "-", "*", ">")) else shown(bare[:_TEXT])
    return [heading for heading in found if heading]


def _titled(bare: str) -> str:
    marks = len(bare) - len(bare.lstrip("#"))
    if not 1 <= marks <= 6 or bare[marks : marks + 1] not in (" ", "\t"):
        return ""
    title = bare[marks:].strip()
    closed = title.rstrip("#")
    return shown((closed if closed.endswith((" ", "\t")) or not closed else title).strip()[:_TEXT])

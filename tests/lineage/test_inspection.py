"""What lies in a model's files: seen without running anything, whatever the files are."""

from __future__ import annotations

import hashlib
import json
import pickle
import time
from pathlib import Path

import pytest

from lineage.inspection import READ_LIMIT, Contents, Listed, contents, wanted

# As mlflow 2.22.5 writes it for a LogisticRegression of scikit-learn 1.9.1.
MLMODEL = """\
flavors:
  python_function:
    env:
      conda: conda.yaml
      virtualenv: python_env.yaml
    loader_module: mlflow.sklearn
    model_path: model.pkl
    predict_fn: predict
    python_version: 3.11.7
  sklearn:
    code: null
    pickled_model: model.pkl
    serialization_format: cloudpickle
    sklearn_version: 1.9.1
is_signature_from_type_hint: false
mlflow_version: 2.22.5
model_size_bytes: 1065
model_uuid: baffbb5d23494115989c9025649d7218
prompts: null
saved_input_example_info:
  artifact_path: input_example.json
  pandas_orient: split
  serving_input_path: serving_input_example.json
  type: dataframe
signature:
  inputs: '[{"type": "double", "name": "age", "required": true}, {"type": "double",
    "name": "plan", "required": true}]'
  outputs: '[{"type": "tensor", "tensor-spec": {"dtype": "int64", "shape": [-1]}}]'
  params: null
type_hint_from_example: false
utc_time_created: '2026-11-21 13:29:37.489843'
"""
MODEL = {
    "MLmodel": MLMODEL.encode(),
    "conda.yaml": b"name: mlflow-env",
    "input_example.json": b"{}",
    "model.pkl": b"\x80\x04N.",
    "python_env.yaml": b"python: 3.11.7",
    "requirements.txt": b"mlflow==2.22.5\nscikit-learn==1.9.1\n",
    "serving_input_example.json": b"{}",
}


class Calls:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return exec, ("raise SystemExit('a pickle was loaded')",)


def look(files: dict[str, bytes]) -> Contents:
    """The contents of these files, of which only the wanted ones are given."""
    listed = [Listed(path, hashlib.sha256(data).hexdigest(), len(data)) for path, data in sorted(files.items())]
    seen = contents(listed, {file.path: files[file.path] for file in wanted(listed)})
    kept = json.loads(json.dumps(seen.as_json()))
    assert Contents.from_json(kept) == seen
    assert "\\u0000" not in json.dumps(kept).replace("\\\\u0000", "")  # which PostgreSQL could not hold
    return seen


def test_a_model_of_mlflow_is_seen_whole() -> None:
    assert look(MODEL) == Contents(
        mlmodel="MLmodel",
        mlmodel_read=True,
        signature_inputs=True,
        signature_outputs=True,
        input_example="input_example.json",
        flavors=("python_function", "sklearn"),
        environment=("conda.yaml", "python_env.yaml", "requirements.txt"),
        pickles=("model.pkl",),
        pickle_count=1,
    )


def test_the_shallowest_model_file_counts_and_its_paths_are_its_own() -> None:
    files = {f"a/{path}": data for path, data in MODEL.items()} | {"a/b/c/MLmodel": b"flavors: {keras: {}}"}
    seen = look(files)
    assert (seen.mlmodel, seen.input_example, seen.flavors) == (
        "a/MLmodel", "a/input_example.json", ("python_function", "sklearn")
    )  # fmt: skip


@pytest.mark.parametrize(
    ("signature", "inputs", "outputs"),
    [
        ("signature: null", False, False),
        ("", False, False),
        ("signature: {inputs: '[]', outputs: null}", False, False),
        ('signature: {inputs: \'[{"type": "long"}]\'}', True, False),
        ('signature: {outputs: \'[{"type": "long"}]\'}', False, True),
        ("signature: [inputs, outputs]", False, False),
        ("signature: {inputs: [1], outputs: true}", False, False),
    ],
)
def test_a_signature_is_there_when_it_says_something(signature: str, inputs: bool, outputs: bool) -> None:
    seen = look({"MLmodel": f"flavors: {{}}\n{signature}".encode()})
    assert (seen.signature_inputs, seen.signature_outputs, seen.problem) == (inputs, outputs, "")
    assert seen.has_signature is (inputs or outputs)


def test_an_input_example_counts_only_when_its_file_is_there() -> None:
    seen = look({path: data for path, data in MODEL.items() if path != "input_example.json"})
    assert (seen.input_example, seen.has_signature) == ("", True)
    assert "'input_example.json', which is not there" in seen.problem


@pytest.mark.parametrize(
    ("hostile", "problem"),
    [
        (b"a: &a [x]\nb: [*a, *a]", "anchors are not allowed"),
        (b"signature: !!python/object/apply:os.system ['id']", "tags are not allowed"),
        (b"[" * 100_000, "nested deeper"),
        (b"\x00\xff\x80binary", "MLmodel: The YAML is not read"),
        (b"- a\n- b", "not a mapping"),
        (b"", "not a mapping"),
        (b"x" * (READ_LIMIT + 1), f"MLmodel is not read: it has {READ_LIMIT + 1} bytes"),
    ],
)
def test_a_hostile_model_file_is_a_problem_in_words(hostile: bytes, problem: str) -> None:
    began = time.monotonic()
    seen = look(MODEL | {"MLmodel": hostile})
    assert time.monotonic() - began < 3
    assert problem in seen.problem
    assert (seen.mlmodel, seen.mlmodel_read, seen.has_signature, seen.flavors) == ("MLmodel", False, False, ())
    assert seen.environment == ("conda.yaml", "python_env.yaml", "requirements.txt")


def test_names_that_no_database_could_hold_are_written_out() -> None:
    seen = look({"MLmodel": b'flavors: {"a\\0b": 1}\nsaved_input_example_info: {artifact_path: "\\0"}'})
    assert seen.flavors == ("a\\u0000b",)


def test_a_huge_model_file_is_not_asked_for() -> None:
    assert wanted([Listed("MLmodel", "0" * 64, 50_000_000), Listed("README.md", "1" * 64, READ_LIMIT + 1)]) == []


# --- Pickles ----------------------------------------------------------------------------------------------------------


def test_pickles_are_found_by_name() -> None:
    names = ["a.pkl", "b.PICKLE", "c.joblib", "d.pt", "e.pth", "f.bin", "g.pkl.gz", "h.joblib.z"]
    seen = look(dict.fromkeys([*names, "i.safetensors", "j.onnx", "k.txt", "pkl"], b"x"))
    assert (seen.pickles, seen.pickle_count) == (tuple(names), len(names))


@pytest.mark.parametrize("protocol", range(6))
def test_pickles_that_call_something_are_found_under_any_name_and_never_run(protocol: int) -> None:
    data = pickle.dumps(Calls(), protocol=protocol)
    assert look({"config.json": data, "weights": b"\x00" * 100}).pickles == ("config.json",)


def test_what_a_pickle_calls_before_it_breaks_off_counts() -> None:
    assert look({"model": pickle.dumps(Calls(), protocol=4)[:-1] + b"\xff\xff"}).pickles == ("model",)


def test_text_and_plain_data_are_no_pickles() -> None:
    texts = {
        "requirements.txt": b"celery\ndjango\nRequests==2\nboto3\n",
        "notes.txt": b"cats are\nnice\nRight.",
        "data": pickle.dumps({"a": [1, 2]}, protocol=4),
        "weights.safetensors": b"\x08\x00\x00\x00\x00\x00\x00\x00{}",
        "numbers": b"0" * 100_000,
    }
    assert look(texts).pickles == ()


def test_what_a_flavor_pickled_is_one_whatever_its_name_unless_skops_wrote_it() -> None:
    mlmodel = "flavors: {{sklearn: {{pickled_model: model, serialization_format: {}}}}}"
    assert look({"MLmodel": mlmodel.format("cloudpickle").encode(), "model": b"x"}).pickles == ("model",)
    assert look({"MLmodel": mlmodel.format("skops").encode(), "model": b"x"}).pickles == ()


def test_lists_are_cut_but_counted() -> None:
    seen = look({f"{n:03}.pkl": b"x" for n in range(300)})
    assert (len(seen.pickles), seen.pickle_count) == (50, 300)


def test_what_is_scanned_is_bounded(tmp_path: Path) -> None:
    files = {f"part-{n}": b"\x80\x04" + b"N0" * 500_000 + b"." for n in range(40)}
    began = time.monotonic()
    assert look(files).pickle_count == 16  # not seen to the end, so not trusted; the others are not opened
    assert time.monotonic() - began < 10


# --- Model cards ------------------------------------------------------------------------------------------------------

CARD = """\
---
license: mit
---
# Churn #

Intended use
============
Text.

Limits of C#
---
```python
# no heading
```
    # no heading either
## Ethical considerations ##
### C#
#hashtag
| a | b |
|---|---|
- item
---
####### seven
"""


def test_a_model_card_gives_its_headings() -> None:
    seen = look({"README.md": CARD.encode(), "docs/readme.md": b"# Second"})
    assert seen.model_cards == ("README.md", "docs/readme.md")
    assert seen.headings == ("Churn", "Intended use", "Limits of C#", "Ethical considerations", "C#", "Second")


def test_headings_are_bounded_and_clean() -> None:
    seen = look({"MODEL_CARD.md": b"# " + b"x" * 900_000 + b"\n" + b"# \x00\xff\n" * 5000})
    assert len(seen.headings) == 100
    assert max(map(len, seen.headings)) <= 120
    assert seen.headings[1] == "\\u0000�"

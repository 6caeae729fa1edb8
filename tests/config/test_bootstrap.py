"""bootstrap.py on machines where something is amiss. The packages are made here, so that no registry is needed."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from types import ModuleType

import pytest

from tests.config.processes import gone, within

ROOT = Path(__file__).resolve().parents[2]

# Stands in for uv: installs by the environment's pip, refuses as one without a mirror does, or never ends.
UV = """#!python
import os, subprocess, sys, time
how, python, lock = os.environ.get("FAKE_UV"), sys.argv[sys.argv.index("--python") + 1], sys.argv[-1]
if how == "refuses":
    sys.exit("error: no mirror that I know")
if how == "hangs":
    open(os.environ["FAKE_UV_PID"], "w").write(str(os.getpid()))
    time.sleep(600)
command = [python, "-m", "pip", "install", "-q", "--no-deps", "--require-hashes", "-r", lock]
sys.exit(subprocess.run(command).returncode)
"""

# Found before the real one, which takes most of the time for unpacking pip: this one borrows ours.
VENV = """
import os, sys
sys.path = [path for path in sys.path if path not in ("", os.getcwd())]
import venv
place = sys.argv[1]
venv.create(place, symlinks=True)
packages = f"{place}/lib/python{sys.version_info[0]}.{sys.version_info[1]}/site-packages"
os.symlink(os.environ["OUR_PIP"], f"{packages}/pip")
"""


class Checkout:
    """A directory with bootstrap.py, a lock of two packages, and the only index there is."""

    def __init__(self, place: Path) -> None:
        self.place, self.wheels, self.venv = place / "checkout", place / "wheels", place / "checkout" / ".venv"
        self.place.mkdir()
        self.wheels.mkdir()
        shutil.copy(ROOT / "bootstrap.py", self.place)
        (place / "venv.py").write_text(VENV)
        self._uv = self.wheel("uv", "1", {"uv-1.data/scripts/uv": UV})
        self.lock("1")

    def wheel(self, name: str, version: str, files: dict[str, str]) -> str:
        """Build a wheel; returns its line in a lock."""
        path = self.wheels / f"{name}-{version}-py3-none-any.whl"
        about = f"{name}-{version}.dist-info"
        files = {
            **files,
            f"{about}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
            f"{about}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        }
        with zipfile.ZipFile(path, "w") as archive:
            for inside, content in files.items():
                entry = zipfile.ZipInfo(inside)
                entry.external_attr = 0o100755 << 16  # a plain file that may be run
                archive.writestr(entry, content)
            archive.writestr(f"{about}/RECORD", "".join(f"{inside},,\n" for inside in [*files, f"{about}/RECORD"]))
        return f"{name}=={version} \\\n    --hash=sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}\n"

    def lock(self, version: str) -> None:
        """Pin `thing`, which says its version when imported."""
        thing = self.wheel("thing", version, {"thing.py": f"version = {version!r}\n"})
        (self.place / "requirements.lock").write_text(thing + self._uv)

    def start(self, **extra: str) -> subprocess.Popen[str]:
        """Start `bootstrap.py env`."""
        pip = importlib.util.find_spec("pip")
        assert pip is not None
        assert pip.origin is not None
        ours = {
            "OUR_PIP": str(Path(pip.origin).parent),
            "PIP_NO_INDEX": "1",
            "PIP_FIND_LINKS": str(self.wheels),
            "PIP_CONFIG_FILE": os.devnull,
        }
        known = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")}
        return subprocess.Popen(
            [sys.executable, str(self.place / "bootstrap.py"), "env"],
            env={**known, **ours, **extra},
            cwd=self.wheels.parent,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            # A shell's background job ignores Ctrl-C, and so would whatever it starts.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )

    def env(self, **extra: str) -> tuple[int, str]:
        """Run `bootstrap.py env` to its end; exit status and output."""
        process = self.start(**extra)
        output, _ = process.communicate(timeout=120)
        return process.returncode, output

    def installed(self) -> str:
        """The version of `thing` in the environment."""
        command = [str(self.venv / "bin" / "python"), "-c", "import thing; print(thing.version)"]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path)


@pytest.fixture
def bootstrap() -> ModuleType:
    """bootstrap.py as a module of this process."""
    spec = importlib.util.spec_from_file_location("bootstrap", ROOT / "bootstrap.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_two_at_once_make_one_environment(checkout: Checkout) -> None:
    both = [checkout.start(), checkout.start()]
    outputs = [process.communicate(timeout=120)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0], outputs
    assert sorted("waiting for it" in output for output in outputs) == [False, True]
    assert sum("Making .venv" in output for output in outputs) == 1
    assert checkout.installed() == "1"


def test_one_killed_in_mid_install_leaves_no_process_and_is_made_anew(checkout: Checkout, tmp_path: Path) -> None:
    note = tmp_path / "pid"
    process = checkout.start(FAKE_UV="hangs", FAKE_UV_PID=str(note))
    while not (note.exists() and note.read_text()):
        assert process.poll() is None
        time.sleep(0.05)
    process.kill()
    process.communicate()
    assert within(5, lambda: gone(int(note.read_text())))
    status, output = checkout.env()
    assert (status, checkout.installed()) == (0, "1"), output
    assert "Making .venv" in output
    began = time.monotonic()
    assert checkout.env() == (0, f"{checkout.venv}\n")  # and once finished it is left as it is
    assert time.monotonic() - began < 2


def test_a_changed_lock_makes_it_anew_by_pip_where_uv_cannot(checkout: Checkout, bootstrap: ModuleType) -> None:
    checkout.venv.joinpath("bin").mkdir(parents=True)
    checkout.venv.joinpath("bin", "python").symlink_to(sys.executable)
    checkout.venv.joinpath("made-from").write_text(
        bootstrap.wanted(checkout.venv, checkout.place / "requirements.lock")
    )
    assert checkout.env() == (0, f"{checkout.venv}\n")
    checkout.lock("2")
    status, output = checkout.env(FAKE_UV="refuses")
    assert (status, checkout.installed()) == (0, "2"), output
    assert "by pip, since uv said: error: no mirror that I know" in output


def test_without_a_registry_it_says_what_to_set_and_can_be_run_again(checkout: Checkout) -> None:
    status, output = checkout.env(PIP_FIND_LINKS=os.devnull)
    assert status == 1
    assert "PIP_INDEX_URL" in output
    assert "Traceback" not in output
    assert not (checkout.venv / "made-from").exists()


def test_a_package_that_is_not_the_pinned_one_is_refused(checkout: Checkout) -> None:
    checkout.wheel("thing", "1", {"thing.py": "version = 'another'\n"})
    status, output = checkout.env()
    assert status == 1
    assert "DO NOT MATCH THE HASHES" in output
    assert not (checkout.venv / "made-from").exists()


def test_a_python_without_venv_is_told_what_to_install(
    bootstrap: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(bootstrap, "VENV", tmp_path / ".venv")
    monkeypatch.setattr(bootstrap.importlib.util, "find_spec", lambda name: None)
    assert bootstrap.main(["env"]) == 1
    assert "apt install python3-venv" in capsys.readouterr().err


@pytest.mark.parametrize(("uid", "name"), [(1, "daemon"), (54321, "user 54321")])
def test_a_checkout_of_somebody_else_is_refused_by_his_name(
    bootstrap: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, uid: int, name: str
) -> None:
    monkeypatch.setattr(bootstrap, "ROOT", tmp_path)
    monkeypatch.setattr(bootstrap.os, "access", lambda path, mode: False)
    real = Path.stat

    def stat_of_another(path: Path) -> os.stat_result:
        found = list(real(path))
        found[4] = uid
        return os.stat_result(found)

    monkeypatch.setattr(bootstrap.Path, "stat", stat_of_another)
    with pytest.raises(bootstrap.Refused, match=f"belongs to {name} and .* may not write there"):
        bootstrap.require_writable(tmp_path / ".venv")


def test_an_older_python_can_read_it_far_enough_to_be_told() -> None:
    source = (ROOT / "bootstrap.py").read_text()
    ast.parse(source, feature_version=(3, 7))
    assert source.index("sys.version_info < (3, 11)") < source.index("import ctypes")


@pytest.mark.parametrize(
    ("given", "processes"),
    [([], True), (["-x"], True), (["tests/config"], False), (["--pdb"], False), (["-n4"], False)],
)
def test_the_whole_suite_runs_on_two_processes(bootstrap: ModuleType, given: list[str], processes: bool) -> None:
    assert (bootstrap.pytest_arguments(given)[:2] == ["-n", "2"]) is processes


def test_an_unknown_command_shows_those_that_there_are() -> None:
    done = subprocess.run([sys.executable, str(ROOT / "bootstrap.py"), "start"], capture_output=True, text=True)
    assert done.returncode == 2
    assert all(word in done.stderr for word in ("up ", "test ", "check ", "manage "))


def test_ctrl_c_stops_it_without_a_trace(checkout: Checkout, tmp_path: Path) -> None:
    note = tmp_path / "pid"
    process = checkout.start(FAKE_UV="hangs", FAKE_UV_PID=str(note))
    while not (note.exists() and note.read_text()):
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=20)
    assert process.returncode == 130
    assert "Traceback" not in output
    assert within(5, lambda: gone(int(note.read_text())))

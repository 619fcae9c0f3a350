"""The outermost layer: what a newcomer runs before anything of ours is installed."""

import importlib.util
import re
import subprocess
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]
COMMANDS = (
    "help",
    "setup",
    "demo",
    "test",
    "check",
    "lint-bigquery",
    "fuzz",
    "dev",
    "serve",
    "bench",
    "bench-scale",
    "bench-serving",
    "leaderboard",
)


def make(*arguments: str) -> str:
    return subprocess.run(
        ["make", "--no-print-directory", *arguments], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout


@pytest.fixture
def setup(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ModuleType:
    """`tools/setup.py` over an empty folder with one small lock."""
    spec = importlib.util.spec_from_file_location("aisle_setup", ROOT / "tools" / "setup.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "ROOT", tmp_path)
    monkeypatch.setattr(module, "VENV", tmp_path / ".venv")
    (tmp_path / "requirements").mkdir()
    for extra in module.EXTRAS:
        (tmp_path / "requirements" / f"{extra}.txt").write_text(f"# lock of {extra}\n")
    return module


def test_make_alone_lists_every_command_with_its_meaning() -> None:
    listed = dict(line.split(maxsplit=1) for line in make().splitlines())
    assert tuple(listed) == COMMANDS
    assert all(len(meaning) > 10 for meaning in listed.values())


def test_every_command_is_phony() -> None:
    [phony] = re.findall(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert tuple(phony.split()) == COMMANDS


def test_without_any_python_make_names_the_line_that_installs_it() -> None:
    ran = subprocess.run(["make", "setup", "PYTHON="], cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode != 0
    assert "apt-get install -y python3 python3-venv" in ran.stdout


@pytest.mark.parametrize(
    ("missing", "named", "package"),
    [
        ("ensurepip", "ensurepip", "python3.11-venv"),
        ("libgomp", "libgomp.so.1", "libgomp1"),
        ("python", "Python 3.11", "python3.11"),
    ],
)
def test_a_missing_system_package_is_named_with_the_line_that_installs_it(
    setup: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    missing: str,
    named: str,
    package: str,
) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(setup, "VERSION", "3.11")
    monkeypatch.setattr(setup, "has_library", lambda _name: missing != "libgomp")
    monkeypatch.setattr(setup.importlib.util, "find_spec", lambda name: None if name == missing else found(name))
    if missing == "python":
        monkeypatch.setattr(setup, "OLDEST", (3, 99))
    assert setup.main(["platform"]) == 1
    said = capsys.readouterr().out
    assert named in said
    [line] = [line for line in said.splitlines() if "apt-get" in line]
    assert line.split("install -y ")[1].split()[0] == package


def test_a_library_nobody_has_is_missing_and_one_everybody_has_is_not(setup: ModuleType) -> None:
    assert not setup.has_library("libnothing-of-the-kind.so.7")
    assert setup.has_library("libc.so.6")


@pytest.fixture
def installed(setup: ModuleType, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What a set-up installed, without installing it."""
    done: list[str] = []

    def make_venv() -> None:
        done.append("venv")
        (setup.VENV / "bin").mkdir(parents=True, exist_ok=True)

    monkeypatch.setattr(setup, "missing_packages", list)
    monkeypatch.setattr(setup, "make_venv", make_venv)
    monkeypatch.setattr(setup, "venv_works", lambda: setup.VENV.exists())
    monkeypatch.setattr(setup, "install_uv", lambda: done.append("uv"))
    monkeypatch.setattr(setup, "install", done.append)
    monkeypatch.setattr(setup, "add_command", lambda: None)
    monkeypatch.setattr(setup, "build_kernel", lambda: None)
    return done


def test_a_second_set_up_does_nothing_and_says_so(
    setup: ModuleType, installed: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert setup.main(["platform"]) == 0
    assert installed == ["venv", "uv", "platform"]
    installed.clear()
    assert setup.main(["platform"]) == 0
    assert installed == []
    assert "already there and up to date (platform)" in capsys.readouterr().out


def test_a_larger_set_up_serves_a_smaller_one_and_not_the_other_way(setup: ModuleType, installed: list[str]) -> None:
    setup.main(["platform"])
    installed.clear()
    setup.main(["serve"])
    assert installed == []
    setup.main(["dev"])
    assert installed == ["uv", "dev"]


def test_a_changed_lock_is_installed_again(setup: ModuleType, installed: list[str]) -> None:
    setup.main(["platform"])
    installed.clear()
    (setup.ROOT / "requirements" / "platform.txt").write_text("# another lock\n")
    setup.main(["platform"])
    assert installed == ["uv", "platform"]


@pytest.mark.parametrize("lock", sorted(path.name for path in (ROOT / "requirements").glob("*.txt")))
def test_every_requirement_is_pinned_and_hashed(lock: str) -> None:
    logical_lines = (ROOT / "requirements" / lock).read_text().replace("\\\n", " ").splitlines()
    for line in filter(None, map(str.strip, logical_lines)):
        assert re.match(r"[a-z0-9._-]+(\[[a-z,]+\])?==\S+ .*--hash=sha256:[0-9a-f]{64}", line), line[:80]


def test_the_check_of_a_whole_checkout_is_runnable() -> None:
    script = ROOT / ".ci" / "run"
    assert script.stat().st_mode & 0o111
    subprocess.run(["bash", "-n", str(script)], check=True)

"""A folder of one's own among others that do the same work."""

import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from ml.contract.files import own_folder

HOLDS = """
import sys
from pathlib import Path
from ml.contract.files import own_folder
with own_folder(Path(sys.argv[1])) as folder:
    folder.mkdir()
    print(folder, flush=True)
    sys.stdin.read()
"""


def test_two_that_work_at_once_have_a_folder_each_and_leave_none(tmp_path: Path) -> None:
    with own_folder(tmp_path / "examples") as one, own_folder(tmp_path / "examples") as other:
        for folder in (one, other):
            folder.mkdir()
            (folder / "part").write_text(folder.parent.name)
        assert [(folder / "part").read_text() for folder in (one, other)] == [one.parent.name, other.parent.name]
        assert one != other
    assert [path for path in (tmp_path / "examples").iterdir() if path.is_dir()] == []


def test_it_is_gone_after_a_failure_too(tmp_path: Path) -> None:
    with suppress(ZeroDivisionError), own_folder(tmp_path) as folder:
        folder.mkdir()
        _ = 1 / 0
    assert not folder.parent.exists()


def test_what_a_killed_process_left_goes_and_what_a_living_one_holds_stays(tmp_path: Path, repository: Path) -> None:
    command = [sys.executable, "-c", HOLDS, str(tmp_path)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=repository, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdout is not None
        theirs = Path(process.stdout.readline().strip())
        with own_folder(tmp_path):
            assert theirs.exists()
        process.kill()
        process.wait()
    assert theirs.exists()
    with own_folder(tmp_path):
        assert not theirs.exists()

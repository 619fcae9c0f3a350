from pathlib import Path

import pytest

from ml.contract.errors import PreconditionError, StorageError
from ml.storage import ObjectStore, Series
from ml.storage.series import KEPT


@pytest.fixture
def series(store: ObjectStore) -> Series:
    return Series(store.under("ml/model"))


def folder_of(tmp_path: Path, content: str) -> Path:
    folder = tmp_path / f"made-{content}"
    folder.mkdir(exist_ok=True)
    (folder / "weights.txt").write_text(content)
    return folder


def read(series: Series, cache: Path) -> str:
    folder = series.fetch(cache)
    assert folder is not None
    return (folder / "weights.txt").read_text()


def test_the_newest_state_is_what_comes_back(series: Series, tmp_path: Path) -> None:
    for content in ("one", "two", "one"):
        series.put(folder_of(tmp_path, content))
        assert read(series, tmp_path / "cache") == content


def test_before_the_first_state_there_is_none(series: Series, tmp_path: Path) -> None:
    assert series.fetch(tmp_path / "cache") is None


def test_what_is_in_the_cache_is_not_downloaded_again(
    series: Series, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    series.put(folder_of(tmp_path, "one"))
    read(series, tmp_path / "cache")
    monkeypatch.setattr("ml.storage.series.download_folder", lambda *_: pytest.fail("downloaded again"))
    assert read(series, tmp_path / "cache") == "one"


def test_old_states_go_from_the_store_and_from_the_cache(series: Series, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    (cache / "deeper").mkdir(parents=True)
    for i in range(KEPT + 2):
        series.put(folder_of(tmp_path, str(i)))
        read(series, cache)
    states = {each.name.split("/")[0] for each in series.store.list() if "/" in each.name}
    assert len(states) == KEPT
    assert {path.name for path in cache.iterdir() if path.name != ".lock"} == states | {"deeper"}


def test_of_two_writers_at_once_the_later_one_is_told(
    series: Series, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    series.put(folder_of(tmp_path, "start"))
    write, once = type(series.store).write, [True]

    def slow(self: ObjectStore, name: str, data: bytes, *, if_generation: int | None = None) -> int:
        if name == "current.json" and once.pop():
            once.append(False)
            series.put(folder_of(tmp_path, "theirs"))
        return write(self, name, data, if_generation=if_generation)

    monkeypatch.setattr(type(series.store), "write", slow)
    with pytest.raises(PreconditionError, match="Somebody else wrote it"):
        series.put(folder_of(tmp_path, "ours"))
    assert read(series, tmp_path / "cache") == "theirs"


@pytest.mark.parametrize("content", [b"{}", b"", b'{"states": []}', b'{"states": ["../../elsewhere"]}'])
def test_a_pointer_that_names_no_state_is_refused(series: Series, tmp_path: Path, content: bytes) -> None:
    series.store.write("current.json", content)
    with pytest.raises(StorageError, match="must name the newest state"):
        series.fetch(tmp_path / "cache")

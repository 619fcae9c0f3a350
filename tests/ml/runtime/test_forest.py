"""The ranker's kernel gives LightGBM's own scores, to the last bit."""

import re
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cache

import lightgbm
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ml.contract.errors import BundleError, ContractError
from ml.runtime import kernel, rank
from ml.runtime.bundle import open_bundle
from ml.runtime.forest import Forest
from ml.runtime.rank import Ranker
from ml.runtime.recommend import recommend
from ml.runtime.requests import HomeRequest
from tests import world
from tools import build_kernel

NUM_FEATURES = 6
QUICK = {"objective": "lambdarank", "min_data_in_leaf": 2, "verbosity": -1, "num_threads": 1, "learning_rate": 0.3}


@pytest.fixture(scope="module", autouse=True)
def score_forest():
    """The kernel, built from the source as it is now."""
    assert build_kernel.build(), "These tests need a C compiler: apt-get install gcc libc6-dev"
    kernel.compiled.cache_clear()
    return kernel.compiled().score_forest


def features(num_rows: int, seed: int = 0) -> np.ndarray:
    """Whole and broken numbers, many of them equal; the third and fourth are often unknown, and their absence says something."""
    rng = np.random.default_rng(seed)
    drawn = np.round(rng.normal(size=(num_rows, NUM_FEATURES)), 1).astype(np.float32)
    drawn[:, 0] = np.round(drawn[:, 0])
    drawn[:, 1] *= 1e-6
    drawn[:, 2:4][rng.random((num_rows, 2)) < 0.3] = np.nan
    return drawn


@cache
def model(num_leaves: int = 31, trees: int = 15, **parameters: object) -> lightgbm.Booster:
    rows = features(4_000)
    unknown = np.isnan(rows[:, 2]) * 1 - np.isnan(rows[:, 3])
    noise = np.random.default_rng(1).normal(size=len(rows))
    bought = (rows[:, 0] + 2 * unknown + np.sin(9 * np.nan_to_num(rows)).sum(axis=1) + noise > 1.5).astype(np.int32)
    data = lightgbm.Dataset(rows, bought, group=[100] * 40, free_raw_data=False)
    return lightgbm.train({**QUICK, "num_leaves": num_leaves, **parameters}, data, trees)


@cache
def forest(booster: lightgbm.Booster) -> Forest:
    return Forest.parse(booster.model_to_string())


def by_lightgbm(booster: lightgbm.Booster, rows: np.ndarray) -> np.ndarray:
    return booster.predict(rows, num_threads=1)


@pytest.mark.parametrize("num_leaves", [2, 31, 32, 33, 64, 100, 257])
def test_scores_are_lightgbms_own_for_trees_of_any_size(score_forest, num_leaves):
    booster = model(num_leaves)
    rows = np.concatenate([forest(booster).golden_rows(1_000), features(1_000, seed=2)])
    assert booster.trees_to_dataframe()["missing_direction"].nunique() == 2
    np.testing.assert_array_equal(forest(booster).scores(rows, score_forest), by_lightgbm(booster, rows))


@pytest.mark.parametrize("num_leaves", [31, 100])
@pytest.mark.parametrize("shared", [0.3, 0.0, np.nan, np.inf, -np.inf])
def test_of_features_that_all_rows_share(score_forest, num_leaves, shared):
    rows = features(100, seed=5)
    rows[:, [0, 2]] = shared
    np.testing.assert_array_equal(
        forest(model(num_leaves)).scores(rows, score_forest), by_lightgbm(model(num_leaves), rows)
    )


@pytest.mark.parametrize("num_rows", [0, 1, 15, 16, 17, 500])
def test_of_any_number_of_rows(score_forest, num_rows):
    rows = features(500, seed=3)
    np.testing.assert_array_equal(
        forest(model()).scores(rows[:num_rows], score_forest), by_lightgbm(model(), rows)[:num_rows]
    )


ODD = st.sampled_from([0.0, -0.0, 1e-35, -1e-35, 1.1e-35, 1e-45, 3.4e38, -3.4e38, np.inf, -np.inf, np.nan])


@settings(deadline=None, max_examples=100)
@given(arrays(np.float32, (3, NUM_FEATURES), elements=ODD.map(np.float32) | st.floats(width=32)))
def test_of_any_numbers(rows):
    np.testing.assert_array_equal(
        forest(model()).scores(rows, kernel.compiled().score_forest), by_lightgbm(model(), rows)
    )


def test_of_numbers_right_beside_what_lightgbm_takes_for_zero(score_forest):
    signs = np.sign(features(1_000, seed=4)[:, :1])
    booster = lightgbm.train({**QUICK, "objective": "regression"}, lightgbm.Dataset(signs, signs[:, 0]), 3)
    text = booster.model_to_string().replace("objective=regression", "objective=lambdarank")
    zero = np.float32(1e-35)
    edges = [x for edge in (-zero, zero) for x in (np.nextafter(edge, -np.inf), edge, np.nextafter(edge, np.inf))]
    rows = np.array([[x] for x in edges], np.float32)
    assert len(set(by_lightgbm(booster, rows))) == 3
    np.testing.assert_array_equal(Forest.parse(text).scores(rows, score_forest), by_lightgbm(booster, rows))


def test_rows_in_any_layout_are_read_right(score_forest):
    rows = features(100)
    expected = forest(model()).scores(rows, score_forest)
    for same in (np.asfortranarray(rows), rows.astype(np.float64), np.repeat(rows, 2, axis=0)[::2]):
        np.testing.assert_array_equal(forest(model()).scores(same, score_forest), expected)


def test_a_tree_that_never_splits_counts_too(score_forest):
    booster = model(31, 3)
    stump = "\nTree=3\nnum_leaves=1\nnum_cat=0\nleaf_value=0.5\nis_linear=0\nshrinkage=1\n\n\nend of trees"
    grown = Forest.parse(booster.model_to_string().replace("\nend of trees", stump))
    rows = features(40)
    np.testing.assert_array_equal(grown.scores(rows, score_forest), by_lightgbm(booster, rows) + 0.5)


def test_threads_do_not_disturb_each_other(score_forest):
    scored, batches = forest(model()), [features(500, seed) for seed in range(40)]
    expected = [scored.scores(rows, score_forest) for rows in batches]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda rows: scored.scores(rows, score_forest), batches))
    np.testing.assert_array_equal(found, expected)


def test_rows_with_another_number_of_features_are_refused(score_forest):
    with pytest.raises(ContractError, match=r"needs 6 features of each row\. Received: an array of shape \(3, 5\)"):
        forest(model()).scores(np.zeros((3, 5), np.float32), score_forest)


@pytest.mark.parametrize(
    ("parameters", "problem"),
    [
        ({"zero_as_missing": True}, "tell 0 from a missing value"),
        ({"categorical_feature": [0]}, "split on numbers, not on categories"),
        ({"objective": "regression", "linear_tree": True}, "plain sum of trees"),
        ({"objective": "binary"}, "plain sum of trees"),
        ({"boosting": "rf", "bagging_freq": 1, "bagging_fraction": 0.5}, "plain sum of trees"),
    ],
)
def test_trees_of_another_kind_are_refused(parameters, problem):
    if parameters.get("categorical_feature"):
        rows = np.abs(np.round(features(4_000) * 3))
        data = lightgbm.Dataset(rows, rows[:, 0] % 2, group=[100] * 40, categorical_feature=[0])
        booster = lightgbm.train(QUICK, data, 2)
    else:
        booster = lightgbm.train({**QUICK, **parameters}, model_data(), 2)
    with pytest.raises(BundleError, match=problem):
        forest(booster)


@pytest.mark.parametrize(
    ("line", "changed", "problem"),
    [
        ("split_feature", lambda values: [NUM_FEATURES, *values[1:]], "split on features it has"),
        ("split_feature", lambda values: [-1, *values[1:]], "split on features it has"),
        ("left_child", lambda values: [10_000, *values[1:]], "hang from one split"),
        ("left_child", lambda values: [0, *values[1:]], "hang from one split"),
        ("right_child", lambda values: [*values[:-1], -10_000], "hang from one split"),
        ("right_child", lambda values: values[:-1], "hang from one split"),
        ("leaf_value", lambda values: values[:-1], "as many values as leaves"),
        ("threshold", lambda values: [*values, 0.5], "as many thresholds, features and decisions as splits"),
        ("decision_type", lambda values: values[:-1], "as many thresholds, features and decisions as splits"),
    ],
)
def test_trees_that_point_outside_themselves_never_reach_the_kernel(line, changed, problem):
    text = model(7, 1).model_to_string()
    [found] = re.findall(rf"^{line}=.*$", text, re.MULTILINE)
    values = found.partition("=")[2].split()
    with pytest.raises(BundleError, match=problem):
        Forest.parse(text.replace(found, f"{line}={' '.join(map(str, changed(values)))}"))


def model_data() -> lightgbm.Dataset:
    rows = np.nan_to_num(features(4_000))
    return lightgbm.Dataset(rows, (rows[:, 0] > 0).astype(np.int32), group=[100] * 40)


def test_without_the_kernel_lightgbm_scores(bundle, monkeypatch):
    rows = bundle.ranker._forest.golden_rows(300)
    fast = bundle.ranker.scores(rows)
    monkeypatch.setattr(rank, "compiled", lambda: None)
    np.testing.assert_array_equal(bundle.ranker.scores(rows), fast)


def test_a_kernel_that_says_something_else_is_refused(written_bundle, monkeypatch, score_forest):
    def a_little_off(*arguments: int) -> None:
        import ctypes

        score_forest(*arguments)
        ctypes.cast(arguments[-1], ctypes.POINTER(ctypes.c_double))[7] += 1e-4

    monkeypatch.setattr(rank, "compiled", lambda: replace(kernel.compiled(), score_forest=a_little_off))
    with pytest.raises(BundleError, match=r"must give LightGBM's scores to 1e-06\. Received: a difference of 0\.0001"):
        Ranker.load(written_bundle.path / "ranker.txt")


def test_a_bundle_that_holds_lightgbms_scores_answers_without_lightgbm(written_bundle, monkeypatch):
    monkeypatch.setitem(sys.modules, "lightgbm", None)
    opened = open_bundle(written_bundle.path)
    answer = recommend(opened, HomeRequest(user_id=world.user_id(0), limit=5), now=world.CUT)
    assert len(answer.items) == 5
    assert "ranker" not in answer.degraded
    with pytest.raises(ImportError):
        Ranker.load(written_bundle.path / "ranker.txt")


def test_a_kernel_that_differs_from_the_scores_in_the_bundle_is_refused(written_bundle, tmp_path):
    golden = np.load(written_bundle.path / "ranker_golden.npy")
    golden[-1, -1] += 2**-8
    np.save(tmp_path / "golden.npy", golden)
    with pytest.raises(BundleError, match=r"must give LightGBM's scores to 1e-06\. Received: a difference of 0\.00"):
        Ranker.load(written_bundle.path / "ranker.txt", golden=tmp_path / "golden.npy")


def test_a_bundle_of_before_its_scores_were_kept_asks_lightgbm(written_bundle, tmp_path):
    ranker = Ranker.load(written_bundle.path / "ranker.txt", golden=tmp_path / "none.npy")
    np.testing.assert_array_equal(ranker.golden(), np.load(written_bundle.path / "ranker_golden.npy"))


def test_a_build_of_another_source_is_not_loaded(tmp_path, monkeypatch):
    changed, old = shutil.copytree(kernel.NATIVE, tmp_path / "native"), kernel.library()
    monkeypatch.setattr(kernel, "NATIVE", changed)
    assert kernel.library().name == old.name
    (changed / "sorting.h").write_text((changed / "sorting.h").read_text() + "\n")
    assert kernel.library().name != old.name
    assert kernel.compiled.__wrapped__() is None


@pytest.mark.parametrize("bytes_of_it", [b"", b"\x7fELF of another machine"])
def test_a_build_of_another_platform_is_as_good_as_none_and_is_built_anew(tmp_path, monkeypatch, bytes_of_it):
    native = shutil.copytree(kernel.NATIVE, tmp_path / "native", ignore=shutil.ignore_patterns("*.so"))
    monkeypatch.setattr(kernel, "NATIVE", native)
    monkeypatch.setattr(build_kernel, "NATIVE", native)
    kernel.library().write_bytes(bytes_of_it)
    assert kernel.compiled.__wrapped__() is None
    assert build_kernel.build() == kernel.library()
    assert kernel.compiled.__wrapped__() is not None


def test_without_a_compiler_the_tool_names_the_package(tmp_path, monkeypatch, capsys):
    source = tmp_path / "forest.c"
    source.write_text("int another;\n")
    monkeypatch.setattr(kernel, "NATIVE", tmp_path)
    monkeypatch.setenv("CC", "no-such-compiler")
    assert build_kernel.main() == 1
    assert "apt-get install -y gcc libc6-dev" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == [source]

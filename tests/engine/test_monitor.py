"""What training records at a checkpoint: figures on vectors of known make, and which columns are asked about."""

import json

import numpy as np
import pytest

from engine.training.monitor import LEAST, label_columns, measure, question, rankme


def blobs(apart: float, *, n: int = 900, d: int = 24, seed: int = 0):
    """Vectors of three classes, `apart` from each other, and the classes as words."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(3, size=n)
    vectors = rng.normal(size=(n, d)) + apart * np.eye(3, d)[truth]
    return vectors.astype(np.float16), np.array(["spiral", "smooth", "merger"], object)[truth]


def test_a_better_representation_has_better_figures():
    vectors, truth = blobs(0.0)
    good, _ = blobs(8.0)
    before, after = (measure(v, {"kind": truth}) for v in (vectors, good))
    for name in ("two_point", "two_point_landy_szalay", "probe", "probe kind", "neighbours", "clusters"):
        assert after[name] > before[name], name
    assert after["davies_bouldin"] < before["davies_bouldin"]
    assert after["probe"] > 0.99 and abs(before["probe"] - 0.5) < 0.08
    assert before["rankme"] > after["rankme"] > 1  # three directions carry most of what is left


def test_figures_are_numbers_that_json_takes():
    vectors, truth = blobs(2.0)
    found = measure(vectors, {"kind": truth, "z": vectors[:, 3].astype(float)})
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert all(type(v) is float for v in found.values())


def test_the_mean_is_over_areas_and_numbers_stand_beside():
    vectors, truth = blobs(1.0)
    size = vectors[:, 10].astype(float) * 30 + 100
    found = measure(vectors, {"spiral": truth == "spiral", "merger": truth == "merger", "size": size})
    assert found["probe"] == pytest.approx((found["probe spiral"] + found["probe merger"]) / 2)
    assert found["probe size"] > 0.95
    assert measure(vectors, {"size": size})["probe"] == pytest.approx(found["probe size"])


def test_objects_without_an_answer_are_left_out_of_it():
    vectors, truth = blobs(6.0)
    holes = truth.copy()
    holes[::2] = None
    wrong = np.where(np.arange(len(truth)) % 2 == 0, "spiral", truth)
    assert measure(vectors, {"kind": holes})["probe"] > 0.99 > measure(vectors, {"kind": wrong})["probe"]


def test_what_cannot_be_measured_is_left_out():
    vectors, truth = blobs(1.0)
    few = measure(vectors[:20], {"kind": truth[:20]})
    assert set(few) == {"rankme"}
    rare = np.arange(len(truth)) < LEAST - 1
    assert not any(name.startswith("probe") for name in measure(vectors, {"rare": rare, "one": np.ones(len(truth))}))


@pytest.mark.parametrize("value", [0.0, 3.0])
def test_a_collapsed_encoder_is_measured(value):
    _, truth = blobs(0.0)
    found = measure(np.full((900, 24), value), {"kind": truth})
    assert "two_point" not in found and found["rankme"] <= 1.001 and found["probe"] == pytest.approx(0.5)
    assert "davies_bouldin" not in found  # zero would look like the best there is


def test_rankme_counts_directions():
    rng = np.random.default_rng(0)
    assert rankme(np.linalg.qr(rng.normal(size=(60, 12)))[0]) == pytest.approx(12)
    assert rankme(np.outer(rng.normal(size=60), rng.normal(size=12))) == pytest.approx(1, abs=1e-4)
    assert rankme(np.zeros((60, 12))) == 0
    for shape in ((60, 12), (12, 60)):
        x = rng.normal(size=shape)
        share = np.linalg.svd(x, compute_uv=False)
        share /= share.sum()
        assert rankme(x) == pytest.approx(np.exp(-(share * np.log(share)).sum()))


def test_columns_become_questions():
    rng = np.random.default_rng(1)
    n = 1000
    common, rare = rng.random(n), rng.random(n) ** 60
    cases = {
        "yes/no": [rng.random(n) > 0.5, np.where(rng.random(n) > 0.3, "a", "b"), rng.integers(2, size=n) * 1.0],
        "class": [rng.integers(4, size=n), np.array(list("abc"), object)[rng.integers(3, size=n)]],
        "number": [rng.normal(20, 2, size=n), rng.integers(500, size=n)],
    }
    for kind, columns in cases.items():
        assert [question("c", c).kind for c in columns] == [kind] * len(columns)
    half, top = question("c", common), question("c", rare)
    assert half.rule == "above 0.5" and np.array_equal(half.answers, common > 0.5)
    assert "upper fifth" in top.rule and top.answers.sum() == 200 and rare[top.answers].min() > rare[~top.answers].max()
    assert question("c", np.array([f"id{i}" for i in range(n)], object)) is None
    assert question("c", np.full(n, np.nan)) is None and question("c", np.zeros(n)) is None
    assert question("c", np.full(n, None, object)) is None


def test_unknown_and_rare_classes_are_not_asked_about():
    kinds = np.array(["a"] * 40 + ["b"] * 40 + ["c"] * 3 + [None] * 17, object)
    asked = question("kind", kinds)
    assert asked.kind == "yes/no" and asked.rule == "one of a, b" and asked.known.sum() == 80
    votes = np.where(np.arange(200) < 50, np.nan, np.linspace(0, 1, 200))
    assert question("votes", votes).known.sum() == 150 and not question("votes", votes).answers[:50].any()


def test_label_columns_of_a_catalogue(make_survey):
    rng = np.random.default_rng(2)
    n = 300
    columns = {
        "GalaxyID": np.arange(n) + 100_000,
        "RA_J2000": rng.random(n),
        "pixels_row": rng.integers(3, size=n),
        "Class1.1": rng.random(n),
        "morphology": np.where(rng.random(n) > 0.5, "disc", "round"),
        "redshift": rng.random(n) * 3,
        "mag_r": rng.normal(20, 1, size=n),
        "constant": np.ones(n),
        "comment": [f"seen {i}" for i in range(n)],
        "observed": np.datetime64("2020-01-01") + rng.integers(3, size=n).astype("timedelta64[D]"),
        "truth": np.where(rng.random(n) > 0.7, "dwarf", "disc"),
    }
    survey = make_survey(n, columns=columns)
    assert list(label_columns(survey)) == ["truth", "Class1.1", "morphology"]
    rows = np.arange(0, n, 2)
    some = label_columns(survey, rows)
    assert some["Class1.1"] == pytest.approx(columns["Class1.1"][rows]) and len(some["truth"]) == n // 2
    assert label_columns(make_survey(n, name="bare")) == {}


def test_label_columns_of_the_simulated_survey(small_survey):
    assert "truth" in label_columns(small_survey)

"""The store: values, categories, thumbnails without shards, labels across sessions, rankings in the background."""

import threading
import time

import numpy as np
import pandas as pd
import pytest

from app.columns import CATEGORIES
from app.hunt.codes import LABEL_NAMES
from app.store import Store, get_store
from engine import files
from engine.errors import UserError
from engine.survey import Survey

COUNT = 300


@pytest.fixture
def survey(tmp_path):
    rng = np.random.default_rng(0)
    images = rng.normal(0, 1, (COUNT, 3, 16, 16)).astype(np.float32)
    images[:, :, 6:10, 6:10] += 20
    np.savez(tmp_path / "images.npz", images=images)
    objects = pd.DataFrame(
        {
            "id": [f"o{k}" for k in range(COUNT)],
            "ra": np.linspace(0, 10, COUNT),
            "dec": 0.0,
            "pixels_index": np.arange(COUNT),
            "mag_r": rng.normal(20, 1, COUNT),
            "count": np.arange(COUNT),
            "many": [f"k{k % 40:02d}" for k in range(COUNT)],
            "kind": ["a", "a", None] * (COUNT // 3),
            "seen": np.arange(COUNT) % 2 == 0,
            "remark": [f"free text {k}" for k in range(COUNT)],
        }
    )
    pixels = {
        "kind": "npz",
        "root": str(tmp_path / "images.npz"),
        "dataset": "images",
        "bands": ["g", "r", "z"],
        "science": True,
        "background": [0, 0, 0],
        "noise": [1, 1, 1],
        "bright": [20, 20, 20],
    }
    made = Survey.create(tmp_path / "a.survey", objects, pixels=pixels)
    xy = rng.normal(0, 1, (COUNT, 2)).astype(np.float32)
    xy[7] = np.nan
    files.write_npy(made.path / "layouts/pca-x/xy.npy", xy)
    files.write_json(made.path / "layouts/pca-x/meta.json", {"method": "pca"})
    folder = made.path / "representations/x"
    vectors = rng.normal(0, 1, (COUNT, 8)).astype(np.float32)
    files.write_npy(folder / "vectors.npy", vectors)
    files.write_npy(folder / "valid.npy", np.ones(COUNT, bool))
    files.write_json(folder / "meta.json", {"encoder": "x"})
    return made


@pytest.fixture
def store(survey):
    return Store(survey.path)


def until(condition, seconds=60.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.01)


def test_one_store_a_survey(survey):
    found = []
    threads = [threading.Thread(target=lambda: found.append(get_store(survey.path))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4 and len(set(map(id, found))) == 1


def test_names_leave_ids_and_free_text_out(store):
    assert store.value_names()["Catalogue"] == ["ra", "dec", "mag_r", "count", "many", "kind", "seen"]


def test_numbers_come_with_their_unit(store):
    values = store.values("mag_r", "dwarf")
    assert (values.kind, values.unit, values.array.dtype) == ("number", "mag", np.float32)
    assert np.allclose(values.array, store.survey.column("mag_r"), atol=1e-5)
    assert store.values("ra", "dwarf").unit == "deg"
    assert store.values("count", "dwarf").array[-1] == COUNT - 1


def test_categories_keep_their_objects(store):
    values = store.values("kind", "dwarf")
    assert values.categories == ("a",) and list(values.array[:3]) == [0, 0, -1]
    many = store.values("many", "dwarf")
    assert len(many.categories) == CATEGORIES and many.categories[-1] == "other"
    text = store.survey.column("many")
    for code, name in enumerate(many.categories[:-1]):
        assert np.array_equal(many.array == code, text == name)
    assert set(store.values("seen", "dwarf").categories) == {"true", "false"}


def test_an_unknown_name_lists_the_known(store):
    for name in ("nothing", "remark", "id"):
        with pytest.raises(UserError, match="choose one of: label"):
            store.values(name, "dwarf")


def test_scores_are_values(store):
    store.survey.store_score("p", np.linspace(0, 1, COUNT))
    assert store.values("p", "dwarf").array[-1] == 1 and store.value_names()["Scores"] == ["p"]


def test_layout_leaves_out_what_has_no_place(store):
    placed = store.placed("pca-x")
    assert len(placed.order) == COUNT - 1 and 7 not in placed.order
    assert store.placed("pca-x") is placed and store.ready("pca-x") is placed
    x0, y0, x1, y1 = placed.bounds
    assert (x0, y0) == tuple(np.nanmin(placed.xy, axis=0)) and (x1, y1) == tuple(np.nanmax(placed.xy, axis=0))


def test_thumbnails_are_rendered_where_none_are_stored(store):
    pictures = store.thumbnails([0, 5, 5])
    assert all(p.startswith(b"\xff\xd8") for p in pictures) and pictures[1] == pictures[2] != pictures[0]


def test_labels_are_shared_and_undone(store):
    other, heard = Store(store.survey.path), []
    store.subscribe(lambda kind, detail: heard.append((kind, detail)))
    store.label([3, 4], "yes", target="dwarf", user="me", view={"tab": "selection"})
    store.label([5], "no", target="dwarf", user="me")
    for each in (store, other):
        assert list(each.label_codes("dwarf")[3:7]) == [1, 1, 2, 0]
        assert not each.label_codes("lens").any()
    assert store.label_counts("dwarf") == {"yes": 2, "no": 1, "unsure": 0, "other": 0}
    assert list(store.labelled("dwarf")) == [3, 4, 5]
    assert list(store.undo("me", "dwarf").rows) == [5]
    assert list(store.label_codes("dwarf")[3:7]) == [1, 1, 0, 0]
    assert ("labels", "dwarf") in heard
    with pytest.raises(ValueError):
        store.label_codes("dwarf")[0] = 1
    colour = store.values("label", "dwarf")
    assert colour.categories == LABEL_NAMES[1:] and list(colour.array[3:6]) == [0, 0, -1]


def test_a_subscriber_can_leave(store):
    heard = []
    leave = store.subscribe(lambda kind, detail: heard.append(kind))
    store.publish("jobs")
    leave()
    leave()
    store.publish("jobs")
    assert heard == ["jobs"]


def test_suggestions_come_in_the_background_and_without_labelled_ones(store):
    assert len(store.suggestions("dwarf", 5)) == 0
    until(lambda: len(store.suggestions("dwarf", 5)) == 5)
    rows = store.suggestions("dwarf", 5)
    store.label(rows[:2], "no", target="dwarf", user="me")
    assert not set(rows[:2]) & set(store.suggestions("dwarf", 5))
    until(lambda: store.ranking("dwarf").counts["no"] == 2)
    assert len(store.ranking("dwarf").mean) == COUNT == len(store.values("mean", "dwarf").array)


def test_what_people_can_mend_is_told(survey):
    import shutil

    shutil.rmtree(survey.path / "representations")
    store, heard = Store(survey.path), []
    store.subscribe(lambda kind, detail: heard.append((kind, detail)))
    assert store.ranking("dwarf") is None
    until(lambda: heard)
    assert heard[0][0] == "problem" and "engine embed" in heard[0][1]


def test_targets_out_of_use_are_let_go_when_memory_is_short(survey, monkeypatch):
    from app.hunt import ranking

    store = Store(survey.path)
    for target in ("dwarf", "lens", "ring"):
        assert store.ranking(target) is None
        until(lambda target=target: store.rankings._rankings.get(target) is not None)
    assert list(store.rankings._interests) == ["dwarf", "lens", "ring"]
    monkeypatch.setattr(ranking, "MEMORY_SHARE", 0)
    store.label([1], "no", target="lens", user="me")
    until(lambda: list(store.rankings._interests) == ["lens"])
    assert store.ranking("dwarf") is None
    until(lambda: store.ranking("dwarf") is not None)  # learned anew when wanted


def test_new_hyper_parameters_are_told(survey):
    store = Store(survey.path)
    store.label(np.arange(6), "no", target="dwarf", user="me")
    store.label([10, 11], "yes", target="dwarf", user="me")
    until(lambda: (found := store.ranking("dwarf")) is not None and "length" in found.news)
    assert "→" in store.model_news("dwarf") and "noise" in store.model_news("dwarf")
    assert store.model_news("nothing") == ""
    said = store.ranking("dwarf").said
    few = said.at(np.array([3, 5]))
    np.testing.assert_array_equal(few[2], said.acquisition[[3, 5]])

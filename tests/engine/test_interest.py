"""The loop: what it knows is what the log says, whoever wrote it and when; what it suggests is worth a look."""

import threading

import numpy as np
import pandas as pd
import pytest

from engine import files
from engine.errors import UserError
from engine.learning import features as features_module
from engine.learning import interest as interest_module
from engine.learning import room
from engine.learning.interest import Interest
from engine.learning.lessons import UNSURE_NOISE
from engine.learning.posterior import Posterior
from engine.survey import Survey

N, UNREADABLE = 400, [3, 17]


def make_survey(folder, vectors, valid):
    n = len(vectors)
    objects = pd.DataFrame({"id": [f"g{i}" for i in range(n)], "ra": np.linspace(10, 11, n), "dec": np.zeros(n)})
    survey = Survey.create(folder / "toy.survey", objects, pixels={"kind": "images", "root": ".", "bands": ["r"]})
    place = survey.path / "representations" / "toy"
    files.write_npy(place / "vectors.npy", vectors.astype(np.float32))
    files.write_npy(place / "valid.npy", valid)
    files.write_json(place / "meta.json", {"encoder": "toy"})
    return survey


@pytest.fixture
def survey(tmp_path):
    random = np.random.default_rng(0)
    vectors, valid = random.normal(size=(N, 8)), np.ones(N, bool)
    vectors[:20] += 3.0  # a clump: the rows below 20
    valid[UNREADABLE] = False
    vectors[UNREADABLE] = 0
    survey = make_survey(tmp_path, vectors, valid)
    yield survey
    survey.labels.close()


def say(survey, rows, value, *, user="ann", target="dwarf"):
    survey.labels.add(rows, target, value, ids=[f"g{row}" for row in rows], user=user)


def batch_posterior(hunt, rows, responses):
    """The slow obvious twin: everything at once."""
    posterior = Posterior(hunt._features, hunt.kernel)
    posterior.extend(rows, responses)
    return posterior


def agree(hunt, rows, responses, *, weak=()):
    twin = batch_posterior(hunt, rows, responses)
    for row in weak:
        twin.append(row, 0.5, hunt.kernel.noise + UNSURE_NOISE)
    np.testing.assert_allclose(hunt.mean[hunt.valid], twin.mean[hunt.valid], atol=1e-5)
    np.testing.assert_allclose(hunt.sd[hunt.valid], twin.sd[hunt.valid], atol=1e-5)
    assert sorted(hunt._posterior.rows) == sorted([*rows, *weak])


def test_it_follows_the_log_through_labels_changes_and_undos(survey):
    hunt = Interest(survey, "dwarf")
    assert len(hunt._posterior) == 0
    say(survey, [0, 1, 100], ["yes", "yes", "no"])
    say(survey, [200, 201], "no", user="bob")
    assert hunt.sync() and not hunt.sync()
    agree(hunt, [0, 1, 100, 200, 201], [1, 1, 0, 0, 0])
    say(survey, [1], "no", user="bob")  # another opinion: the later one counts
    say(survey, [100], "unsure")  # teaches little any more
    hunt.sync()
    agree(hunt, [0, 1, 200, 201], [1, 0, 0, 0], weak=[100])
    survey.labels.undo("ann")
    survey.labels.undo("bob")
    hunt.sync()
    agree(hunt, [0, 1, 100, 200, 201], [1, 1, 0, 0, 0])
    survey.labels.undo("ann")
    hunt.sync()
    agree(hunt, [200, 201], [0, 0])
    say(survey, [5], "yes", target="lens")
    hunt.sync()
    agree(hunt, [200, 201], [0, 0])


def test_what_it_knows_does_not_depend_on_when_it_was_opened(survey):
    early = Interest(survey, "dwarf")
    random = np.random.default_rng(1)
    for row in random.choice(np.arange(20, N), 25, replace=False):
        say(survey, [int(row)], "no")
        early.sync()
    say(survey, [0, 1, 2], "yes")
    early.refit()
    late = Interest(survey, "dwarf")
    assert late.kernel == early.kernel
    np.testing.assert_allclose(early.mean, late.mean, atol=1e-5)
    np.testing.assert_array_equal(early.next_rows(20), late.next_rows(20))


def test_labels_that_come_while_it_refits_are_not_lost(survey, monkeypatch):
    hunt = Interest(survey, "dwarf")
    say(survey, [0, 1, 100, 101], ["yes", "yes", "no", "no"])
    hunt.sync()
    in_fit, go_on = threading.Event(), threading.Event()
    fit = interest_module.kernels.fit

    def slow_fit(*arguments, **options):
        in_fit.set()
        assert go_on.wait(20)
        return fit(*arguments, **options)

    monkeypatch.setattr(interest_module.kernels, "fit", slow_fit)
    worker = threading.Thread(target=hunt.refit)
    worker.start()
    assert in_fit.wait(20)
    say(survey, [102], "no")
    assert hunt.sync(), "the old posterior answers while the new one is made"
    agree(hunt, [0, 1, 100, 101, 102], [1, 1, 0, 0, 0])
    go_on.set()
    worker.join()
    agree(hunt, [0, 1, 100, 101, 102], [1, 1, 0, 0, 0])


def test_it_refits_when_labels_have_grown_and_something_was_found(survey):
    hunt = Interest(survey, "dwarf")
    say(survey, list(range(100, 120)), "no")
    hunt.sync()
    assert not hunt.needs_refit(), "noes alone say nothing about how far a yes reaches"
    say(survey, [0], "yes")
    hunt.sync()
    assert hunt.needs_refit()
    hunt.refit()
    assert not hunt.needs_refit()


@pytest.mark.parametrize("diverse", [None, True, False])
@pytest.mark.parametrize("found", [False, True])
def test_suggestions_are_new_readable_and_distinct(survey, diverse, found):
    labelled = list(range(20, 60))
    say(survey, labelled, "no")
    if found:
        say(survey, [0, 1], "yes")
        labelled += [0, 1]
    say(survey, [61], "unsure")
    hunt = Interest(survey, "dwarf")
    for n in (0, 1, 7, 50, 10 * N):
        rows = hunt.next_rows(n, diverse=diverse)
        assert len(rows) == len(set(rows.tolist())) == min(n, N - len(labelled) - 1 - len(UNREADABLE))
        assert not set(rows.tolist()) & {*labelled, 61, *UNREADABLE}
    assert (hunt.next_rows(30, diverse=diverse) == hunt.next_rows(30, diverse=diverse)).all()


def test_suggestions_are_what_was_asked_for(survey):
    hunt = Interest(survey, "dwarf")
    hunt.label({"g0": 1, "g1": True, "g2": "yes", "g100": 0, "g200": "no", "g300": False}, user="ann")
    table = hunt.suggest(12)
    assert list(table.columns) == ["id", "row", "mean", "sd", "acquisition", "drawn", "ra", "dec"]
    assert (table["id"] == [f"g{row}" for row in table["row"]]).all()
    np.testing.assert_array_equal(table["mean"], hunt.mean[table["row"]])
    assert (table["row"] < 20).sum() >= 10, "the clump"
    ranking = hunt.ranking()
    assert len(ranking) == N - len(UNREADABLE) and ranking["mean"].is_monotonic_decreasing
    labels = ranking.set_index("id")["label"]
    assert labels["g0"] == "yes" and labels["g100"] == "no" and labels.isna().sum() == len(labels) - 6


def test_what_it_cannot_see_is_nan_and_never_learned_from(survey):
    say(survey, [3, 0, 100], ["yes", "yes", "no"])
    hunt = Interest(survey, "dwarf")
    assert np.isnan(hunt.mean[UNREADABLE]).all() and np.isnan(hunt.acquisition()[UNREADABLE]).all()
    assert np.isfinite(hunt.mean[hunt.valid]).all()
    agree(hunt, [0, 100], [1, 0])


def test_numbers_are_ratings_where_ratings_are_given(survey):
    hunt = Interest(survey, "dwarf")
    hunt.label({"g0": 5, "g1": 1, "g2": "2"}, user="ann")
    hunt.label({"g4": 0, "g5": 1}, user="ann")
    values = survey.labels.current("dwarf")
    assert values.values.tolist() == ["5", "1", "2", "0", "1"] and set(values.kinds) == {"rating"}
    hunt.label({}, user="ann")
    with pytest.raises(UserError, match="no object called 'g999'"):
        hunt.label({"g6": 1, "g999": 1}, user="ann")
    assert len(survey.labels.current("dwarf").rows) == 5


def test_more_labels_than_fit_are_thinned_and_the_rare_ones_kept(survey, monkeypatch):
    monkeypatch.setattr(room, "MOST_LABELS", 50)
    say(survey, list(range(30, 330)), "no")
    say(survey, [0, 1, 2, 4], "yes")
    hunt = Interest(survey, "dwarf")
    held = hunt._posterior.rows
    assert len(held) == 40 + 10 and {0, 1, 2, 4} <= set(held), "room is left for new ones, then filled"
    assert hunt.left_out == 304 - 50, "and it says so"
    say(survey, [340], "no")
    hunt.sync()
    assert len(hunt._posterior) <= 50 and not set(hunt.next_rows(20).tolist()) & set(range(30, 330))
    agree(hunt, held := hunt._posterior.rows, [float(row < 20) for row in held])


def test_features_are_balanced_components_of_unit_mean_variance(survey):
    found = survey.representation()
    seen = features_module.features(found, 5)
    standard = found.components(5)
    spread = seen[found.valid].std(axis=0)
    np.testing.assert_allclose(seen, standard * spread, atol=1e-4)
    assert np.mean(spread**2) == pytest.approx(1, abs=1e-4) and (np.diff(spread) <= 1e-6).all()
    axes = np.linalg.svd(np.asarray(found.vectors)[found.valid] - found.vectors[found.valid].mean(axis=0))[1][:5]
    np.testing.assert_allclose(spread**2 / spread[0] ** 2, axes / axes[0], rtol=1e-3)
    np.testing.assert_array_equal(seen, features_module.features(found, 5))


def test_exploring_is_counted_in_labels(survey):
    say(survey, [0, 1, 100], ["yes", "yes", "no"])
    hunt, best = Interest(survey, "dwarf", explore=0.25), Interest(survey, "dwarf", explore=0)
    order = best.next_rows(N)
    np.testing.assert_array_equal(order, best.next_rows(N, diverse=False))
    rows = hunt.next_rows(40)
    exploring = (np.arange(40) + 3) % 4 == 3  # three labels were given: every fourth explores
    np.testing.assert_array_equal(rows[~exploring], order[:30])
    assert not set(rows[exploring].tolist()) & set(order[:30].tolist())


def test_scores_are_kept_in_the_survey(survey):
    say(survey, [0, 1, 100], ["yes", "yes", "no"])
    hunt = Interest(survey, "dwarf")
    hunt.store()
    np.testing.assert_array_equal(survey.score("mean_dwarf"), hunt.mean.astype(np.float32))
    np.testing.assert_array_equal(survey.score("sd_dwarf"), hunt.sd.astype(np.float32))
    np.testing.assert_array_equal(survey.score("acquisition_dwarf"), hunt.acquisition().astype(np.float32))


@pytest.mark.parametrize("option", ["kernel", "acquisition", "device", "representation"])
def test_unknown_names_are_refused(survey, option):
    with pytest.raises(UserError, match="tea"):
        Interest(survey, "dwarf", **{option: "tea"})


def test_threads_may_label_and_ask_at_once(survey):
    hunt, faults = Interest(survey, "dwarf"), []

    def work(first):
        try:
            for row in range(first, first + 8):
                hunt.label({f"g{row}": row < 20}, user=f"user{first}")
                assert row not in hunt.next_rows(5)
        except BaseException as fault:
            faults.append(fault)

    threads = [threading.Thread(target=work, args=(first,)) for first in (4, 100, 200)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not faults
    rows = [row for first in (4, 100, 200) for row in range(first, first + 8) if row not in UNREADABLE]
    agree(hunt, rows, [float(row < 20) for row in rows])


@pytest.mark.parametrize("acquisition", ["expected-improvement", "protege", "upper-confidence"])
def test_scoring_only_what_can_win_suggests_the_same(survey, acquisition, monkeypatch):
    say(survey, [0, 1, 100, 101, 200], ["yes", "yes", "no", "no", "no"])
    hunt = Interest(survey, "dwarf", acquisition=acquisition)
    few = hunt.next_rows(30)
    monkeypatch.setattr(interest_module, "RISING", frozenset())
    np.testing.assert_array_equal(few, hunt.next_rows(30))
    assert hunt.refitted.labels == 5 and hunt.refitted.after == hunt.kernel != hunt.refitted.before


def test_whatever_the_labels_nothing_breaks(survey):
    """One label, one kind only, the same vector yes and no, all objects labelled: numbers and a batch, or none left."""
    for number, labels in enumerate(
        [{5: "yes"}, {5: "no"}, dict.fromkeys(range(40), "yes"), dict.fromkeys(range(40), "no")]
    ):
        target = f"t{number}"
        say(survey, list(labels), list(labels.values()), target=target)
        hunt = Interest(survey, target)
        hunt.refit()
        assert np.isfinite(hunt.mean[hunt.valid]).all() and np.isfinite(hunt.sd[hunt.valid]).all()
        assert len(hunt.next_rows(10)) == 10
    say(survey, list(range(N)), "yes", target="all")
    everything = Interest(survey, "all")
    assert len(everything.next_rows(10)) == 0 and np.isfinite(everything.mean[everything.valid]).all()
    assert not set(everything._posterior.rows) & set(UNREADABLE)


def test_twins_of_which_one_is_a_yes_and_one_a_no(tmp_path):
    vectors = np.ones((60, 6))
    vectors[30:] = np.random.default_rng(0).normal(size=(30, 6))
    survey = make_survey(tmp_path, vectors, np.ones(60, bool))
    say(survey, list(range(10)), ["yes", "no"] * 5)
    hunt = Interest(survey, "dwarf")
    hunt.refit()
    assert hunt.mean[20] == pytest.approx(0.5, abs=0.15) and hunt.mean[20] == pytest.approx(hunt.mean[3], abs=1e-5)
    constant = make_survey(tmp_path / "constant", np.ones((30, 4)), np.ones(30, bool))
    say(constant, [0, 1], ["yes", "no"])
    flat = Interest(constant, "dwarf")
    flat.refit()
    assert np.isfinite(flat.mean).all() and np.isfinite(flat.acquisition()).all() and len(flat.next_rows(5)) == 5
    for made in (survey, constant):
        made.labels.close()


def test_labels_of_objects_removed_since_count_for_nothing(make_survey):
    vectors = np.random.default_rng(0).normal(size=(60, 6))
    survey, same = (make_survey(60, vectors=vectors, name=name) for name in ("cut", "whole"))
    for one in (survey, same):
        one.labels.add([1, 2, 3, 4], "dwarf", ["yes", "no", "no", "yes"], ids=["o1", "o2", "o3", "o4"], user="me")
    survey.labels.add([60, 999], "dwarf", "yes", ids=["o60", "o999"], user="me")
    hunt, other = survey.interest("dwarf"), same.interest("dwarf")
    np.testing.assert_allclose(hunt.mean, other.mean)
    assert survey.labels.targets() == same.labels.targets() == {"dwarf": {"no": 2, "yes": 2}}
    assert hunt.next_rows(5).max() < 60 and len(hunt.ranking()) == 60

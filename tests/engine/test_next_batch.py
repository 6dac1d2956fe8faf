"""The next batch: its shares are what was asked for, in order, and what is drawn at random is an unbiased sample."""

import numpy as np
import pytest

from engine.learning import batches
from engine.learning.batches import Situation, draw, next_batch, turns
from engine.learning.interest import Interest
from engine.learning.kernels import Kernel
from engine.learning.posterior import Posterior
from engine.learning.steering import COLD_STARTS, Steering

N = 400


def situation(*, labels=12, found=True, free=None, shunned=None, outlying=None):
    random = np.random.default_rng(0)
    features = random.normal(size=(N, 4)).astype(np.float32)
    model = Posterior(features, Kernel("rbf", variance=0.3, length=1.5, noise=0.02))
    model.extend(np.arange(labels), random.random(labels))
    free = np.arange(N) >= labels if free is None else free
    return Situation(model, model.mean, lambda m: m.mean, free, features[:, 0], found, shunned, outlying)


def rng(seed=0):
    return np.random.default_rng(seed)


@pytest.mark.parametrize("share", [0, 0.05, 0.1, 1 / 3, 1])
def test_turns_are_even_whoever_asks_for_how_many(share):
    whole = turns(0, 300, share)
    assert whole.sum() == pytest.approx(300 * share, abs=1)
    for first in (0, 7, 91):
        np.testing.assert_array_equal(whole[first : first + 50], turns(first, 50, share))
    one_by_one = np.concatenate([turns(k, 1, share) for k in range(300)])
    np.testing.assert_array_equal(whole, one_by_one)


@pytest.mark.parametrize("explore", [0, 0.2, 1])
@pytest.mark.parametrize("surprise", [0, 0.2, 0.5, 1])
@pytest.mark.parametrize("batch", ["best", "diverse"])
def test_shares_are_what_was_asked_for(explore, surprise, batch):
    now = situation()
    found = next_batch(now, 60, Steering(explore=explore, surprise=surprise, batch=batch), rng())
    assert len(found) == len(set(found.rows.tolist())) == 60 and now.free[found.rows].all()
    chance = (found.how == "random").sum()
    assert chance == pytest.approx(60 * surprise, abs=1)
    assert (found.how == "explore").sum() == pytest.approx((60 - chance) * explore, abs=1.5)
    if batch == "best":
        rest = now.free.copy()
        rest[found.rows[found.how == "random"]] = False
        order = np.flatnonzero(rest)[np.argsort(-now.scores[rest], kind="stable")]
        best = found.rows[found.how == "best"]
        np.testing.assert_array_equal(best, order[: len(best)])


def test_what_is_drawn_at_random_is_unbiased():
    """Every free object is drawn alike, whatever its score: the best are as likely as the worst."""
    now, counts = situation(), np.zeros(N)
    for seed in range(400):
        found = next_batch(now, 10, Steering(surprise=0.5), rng(seed))
        counts[found.rows[found.how == "random"]] += 1
    free = counts[now.free]
    expected = 400 * 5 / now.free.sum()
    assert free.sum() == 400 * 5 and counts[~now.free].sum() == 0
    chi2 = ((free - expected) ** 2 / expected).sum() / (len(free) - 1)
    assert 0.75 < chi2 < 1.25
    best = np.argsort(-now.scores[now.free])[:40]
    assert free[best].mean() == pytest.approx(expected, rel=0.25)


@pytest.mark.parametrize("few", [False, True])
def test_draw_gives_distinct_free_rows(few):
    free = np.zeros(5000, bool)
    free[[3, 77, 4999] if few else np.arange(0, 5000, 2)] = True
    rows = draw(free, 20, rng())
    assert len(rows) == len(set(rows.tolist())) == (3 if few else 20) and free[rows].all()
    assert len(draw(free, 0, rng())) == 0


@pytest.mark.parametrize("cold", COLD_STARTS)
def test_every_cold_start_fills_the_batch(cold):
    outlying = np.random.default_rng(1).random(N)
    outlying[50] = np.nan
    now = situation(labels=0, found=False, outlying=outlying)
    for n in (1, 2, 7, 50, N, 10 * N):
        found = next_batch(now, n, Steering(cold_start=cold), rng())
        assert len(set(found.rows.tolist())) == len(found) == min(n, N)
        assert set(found.how) == {"cold"}
    if cold == "outliers":
        known = np.where(np.isnan(outlying), -1, outlying)
        np.testing.assert_array_equal(next_batch(now, 9, Steering(cold_start=cold), rng()).rows, np.argsort(-known)[:9])
    if cold == "pc1":
        along = np.sort(now.along[next_batch(now, 40, Steering(cold_start=cold), rng()).rows])
        assert (
            (np.diff(along) > 0).all()
            and along[0] < np.quantile(now.along, 0.03)
            and along[-1] > np.quantile(now.along, 0.97)
        )


def test_without_outlier_scores_the_strangest_are_spread():
    now = situation(labels=0, found=False)
    a = next_batch(now, 20, Steering(cold_start="outliers"), rng())
    b = next_batch(now, 20, Steering(cold_start="spread"), rng())
    np.testing.assert_array_equal(a.rows, b.rows)


def test_what_is_shunned_comes_only_by_chance_or_when_nothing_else_is_left():
    shunned = np.zeros(N, bool)
    now = situation()
    shunned[np.argsort(-now.scores)[:100]] = True
    now = situation(shunned=shunned)
    found = next_batch(now, 50, Steering(explore=0.2, surprise=0.2), rng())
    assert not shunned[found.rows[found.how != "random"]].any()
    everything = next_batch(now, N, Steering(), rng())
    assert len(everything) == now.free.sum()


def test_nothing_free_is_an_empty_batch():
    assert len(next_batch(situation(free=np.zeros(N, bool)), 10, Steering(), rng())) == 0


def test_exploring_goes_where_least_is_known():
    now = situation()
    found = next_batch(now, 60, Steering(explore=1), rng())
    picked = found.rows[found.how == "explore"]
    assert now.model.latent_sd[picked].mean() > now.model.latent_sd[now.free].mean()
    assert batches.EXPLORED >= 1000


# -- through the loop -----------------------------------------------------------------------------------------------------


@pytest.fixture
def survey(make_survey):
    random = np.random.default_rng(0)
    vectors = random.normal(size=(N, 6))
    vectors[:20] += [4, 0, 0, 0, 0, 0]  # what is looked for
    vectors[20:50] += [4, 3, 0, 0, 0, 0]  # artefacts that look much like it
    survey = make_survey(N, vectors=vectors)
    yield survey
    survey.labels.close()


def say(survey, rows, value, target="dwarf"):
    survey.labels.add(rows, target, value, ids=[f"o{row}" for row in rows], user="ann")


def test_artefacts_sink_and_are_not_suggested(survey):
    say(survey, [0, 1, 100, 200, 300], ["yes", "yes", "no", "no", "no"])
    hunt = Interest(survey, "dwarf", explore=0)
    before = hunt.next_batch(30).rows
    say(survey, [20, 21, 22], "yes", target="artefact")
    after = hunt.next_batch(30).rows
    near = np.arange(23, 50)
    assert np.isin(near, after).sum() < np.isin(near, before).sum()
    assert not set(after.tolist()) & {20, 21, 22}
    assert np.isin(np.arange(2, 20), after).sum() >= np.isin(np.arange(2, 20), before).sum()
    assert set(hunt.next_batch(30, artefact="").rows.tolist()) == set(before.tolist()), (
        "and can be looked at all the same"
    )
    survey.labels.undo("ann", "artefact")
    np.testing.assert_array_equal(hunt.next_batch(30).rows, before)
    own = Interest(survey, "artefact")
    assert len(own.next_batch(10)) == 10, "artefacts themselves can be hunted"


def test_how_an_object_was_drawn_is_kept_with_its_label(survey):
    hunt = Interest(survey, "dwarf", surprise=0.5)
    batch = hunt.next_batch(4)
    hunt.label({f"o{row}": "no" for row in [*batch.rows.tolist(), 399]}, user="ann")
    kept = {event.row: (event.view or {}).get("drawn") for event in survey.labels.since(0)}
    expected = dict(zip(batch.rows.tolist(), batch.how.tolist())) | ({} if 399 in batch.rows else {399: None})
    assert kept == expected and "random" in kept.values()
    survey.labels.undo("ann")
    assert len(survey.labels.current("dwarf").rows) == 0, "one undo takes all of them back"


def test_the_first_few_of_a_long_cold_start_are_spread_as_well():
    from engine.learning.batches import Situation, _spaced

    n = 2000
    now = Situation(None, np.zeros(n), lambda model: np.zeros(n), np.ones(n, bool), np.arange(n, dtype=float), False)
    rows = _spaced(now, 200, now.free, np.random.default_rng(0))
    assert sorted(rows // 10) == list(range(200))
    for shown in (5, 10, 25, 50):
        gaps = np.diff(np.concatenate([[0], np.sort(rows[:shown]), [n]]))
        assert gaps.max() < 2.7 * n / shown

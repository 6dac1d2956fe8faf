"""The pass that finds the best: the same as brute force in float64, whatever the numbers look like."""

import numpy as np
import pytest

from engine.search.likeness import scan
from engine.search.likeness.halves import by_instruction, by_shifting, widened
from engine.search.likeness.scan import Form


def weighted_forms(rng, d, count):
    forms = []
    for k in range(count):
        w, t = rng.random(d), rng.normal(size=d)
        forms.append(Form(w * t / np.sqrt(w @ (t * t)), square=w, factor=1.0 if k == 0 else -0.5))
    return forms


def slow(x, forms, allowed, top, mean=None):
    """Every object's score in float64, all sorted."""
    x = np.asarray(x, np.float64)
    moved = x if mean is None else x - mean

    def norm(form):
        found = np.sqrt((x * x) @ form.square) if form.square is not None else np.linalg.norm(moved, axis=1)
        return np.where(found > 0, found, np.inf)

    score = sum(f.factor * (x @ f.pull - f.shift) / norm(f) for f in forms)
    rows = np.flatnonzero(allowed)
    return rows[np.lexsort((rows, -score[rows]))][:top], score


@pytest.mark.parametrize("kind", [np.float32, np.float16])
@pytest.mark.parametrize("spread", [1.0, 1e-3])
def test_the_best_are_those_of_brute_force(kind, spread):
    """With a spread of 1e-3 all scores lie within a few roundings of float32: the bounds have to leave them to float64."""
    rng = np.random.default_rng(4)
    x = (rng.normal(size=37) + spread * rng.normal(size=(9000, 37))).astype(kind)
    x[500:520] = x[7]
    allowed = rng.random(9000) < 0.8
    for count in (1, 2):
        forms = weighted_forms(rng, 37, count)
        for top in (1, 25, 300, 20_000):
            expected, score = slow(x, forms, allowed, top)
            rows, found = scan.best(x, forms, allowed, top)
            assert np.array_equal(rows, expected)
            assert np.allclose(found, score[rows], rtol=1e-12)


@pytest.mark.parametrize("kind", [np.float32, np.float16])
def test_known_norms_far_from_the_origin(kind):
    rng = np.random.default_rng(5)
    x = (5 + rng.normal(size=(7000, 24))).astype(kind)
    mean = x.mean(axis=0, dtype=np.float64)
    x[11] = 5  # nearly the mean
    norms, allowed = scan.lengths(x, mean), np.ones(7000, bool)
    pull = rng.normal(size=24)
    forms = [Form(pull / np.linalg.norm(pull), shift=float(pull @ mean / np.linalg.norm(pull)))]
    for top in (1, 40, 3000):
        expected, score = slow(x, forms, allowed, top, mean)
        rows, found = scan.best(x, forms, allowed, top, norms=norms, mean=mean)
        assert np.array_equal(rows, expected) and np.allclose(found, score[rows], rtol=1e-12)


def test_equal_scores_come_in_order_of_the_row():
    x = np.ones((5000, 3), np.float32)
    forms = weighted_forms(np.random.default_rng(0), 3, 1)
    allowed = np.ones(5000, bool)
    allowed[:10] = False
    assert scan.best(x, forms, allowed, 5)[0].tolist() == [10, 11, 12, 13, 14]


def test_bounds_hold_and_few_are_scored_again():
    rng = np.random.default_rng(6)
    x, allowed = rng.normal(size=(20_000, 64)).astype(np.float32), np.ones(20_000, bool)
    forms = weighted_forms(rng, 64, 2)
    upper, largest = scan.scores(x, forms, allowed)
    score = scan.exact(x, forms, np.arange(20_000))
    assert (upper >= score).all() and (upper - score).max() < 1e-4
    blocks = np.array([score[k : k + scan.BLOCK].max() for k in range(0, 20_000, scan.BLOCK)])
    assert (largest <= blocks).all()
    assert len(scan._candidates(x, forms, allowed, 25, None, 0.0)) < 200


def test_slabs_and_threads_change_nothing(monkeypatch):
    rng = np.random.default_rng(7)
    x, allowed = rng.normal(size=(3000, 8)).astype(np.float16), rng.random(3000) < 0.5
    forms = weighted_forms(rng, 8, 1)
    whole = scan.best(x, forms, allowed, 50)
    monkeypatch.setattr(scan, "SLAB", 1)
    monkeypatch.setattr(scan, "cores", lambda: 5)
    again = scan.best(x, forms, allowed, 50)
    assert all(np.array_equal(a, b) for a, b in zip(whole, again))


def test_nothing_allowed_or_nothing_wanted():
    x = np.ones((10, 2), np.float32)
    forms = weighted_forms(np.random.default_rng(0), 2, 1)
    assert len(scan.best(x, forms, np.zeros(10, bool), 5)[0]) == 0
    assert len(scan.best(x, forms, np.ones(10, bool), 0)[0]) == 0


def test_every_half_becomes_the_same_float():
    bits = np.arange(1 << 16, dtype=np.uint16)
    halves = bits.view(np.float16)
    finite = np.isfinite(halves)
    for widen in {by_shifting, widened, by_instruction} if widened is by_instruction else {by_shifting}:
        found = np.array([widen(b) for b in bits[finite][::7]], np.float32)
        assert np.array_equal(found, halves[finite][::7].astype(np.float32))

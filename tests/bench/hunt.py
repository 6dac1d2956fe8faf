"""From a label to the next objects, beside what peers do.

Protege (Lochner & Rudnick 2025) refits scikit-learn's regressor on the labels after each answer, predicts every object with its
standard deviation, and sorts them by expected improvement. So does the peer here, with the hyper-parameters kept, which is the
least it could do, and with its optimizer, as it does.
"""

import shutil
import statistics
import tempfile
import threading
import time
import warnings
from importlib.metadata import version
from pathlib import Path

import numpy as np

from tests.bench.features import galaxies
from tests.bench.measure import Figure, compare

LENGTH, NOISE = 6.0, 0.05


def label_to_ranking(full: bool) -> list[Figure]:
    """A label, and what it leads to: mean, sd, expected improvement and the next ten."""
    n = 1_000_000 if full else 100_000
    x = galaxies(n, 40)
    figures = [_one_label(x, 200, False), _one_label(x, 500, False), _one_label(x, 200, True), _anew(x, 200)]
    return [*figures, *_with_the_log(x, 200)]


def _one_label(x: np.ndarray, labels: int, optimized: bool) -> Figure:
    """Append, mean, sd, log-EI, ten suggestions; labels are new ones at each call, and nothing is undone."""
    from engine.learning.acquisition import log_expected_improvement
    from engine.learning.kernels import Kernel
    from engine.learning.leaders import leaders_by
    from engine.learning.posterior import Posterior

    rows = np.random.default_rng(1).choice(len(x), labels + 50, replace=False)
    y = (x[rows, 0] > 1).astype(float)
    ours = Posterior(x, Kernel("matern", variance=1.0, length=LENGTH, noise=NOISE))
    ours.extend(rows[:labels], y[:labels])
    free = np.ones(len(x), bool)
    free[rows[:labels]] = False

    def append():
        m = len(ours)
        ours.append(rows[m], y[m])
        free[rows[m]] = False
        mean, sd = ours.mean, ours.sd
        best = leaders_by(lambda a, b: log_expected_improvement(a, b, best=1.0), mean, sd, 10, allowed=free)[0]
        return mean, sd, best

    def refit():
        m = len(ours)
        return _protege(x, rows[:m], y[:m], free, optimized)

    def agree(mine, theirs):
        if optimized:
            return "its hyper-parameters are fitted at each label; ours in the background, every 20 % of labels"
        error = max(np.abs(a - b).max() for a, b in zip(mine[:2], theirs[:2]))
        assert error < 1e-3, error
        same = len(set(mine[2].tolist()) & set(theirs[2].tolist()))
        return f"largest difference of mean and sd {error:.0e}; {same} of 10 suggestions the same"

    kept = "refit with its optimizer" if optimized else "refit, hyper-parameters kept,"
    return compare(
        f"a label → mean, sd, log-EI and next 10 of {len(x):,} objects ({labels} labels, 40 components)",
        f"scikit-learn {version('scikit-learn')} GPR as Protege uses it: {kept} + predict + sort",
        append,
        refit,
        agree,
        pairs=3 if optimized else 5,
    )


def _protege(x, rows, y, free, optimized: bool):
    """Refit, predict all, expected improvement, sort."""
    from scipy.stats import norm
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import Matern, WhiteKernel

    kernel = Matern(length_scale=LENGTH, nu=1.5) + WhiteKernel(NOISE)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a parameter at its bound
        model = GaussianProcessRegressor(kernel, optimizer="fmin_l_bfgs_b" if optimized else None)
        model.fit(x[rows], y)
    parts = [model.predict(x[a : a + 20_000], return_std=True) for a in range(0, len(x), 20_000)]
    mean, sd = (np.concatenate(p) for p in zip(*parts))
    z = (mean - 1.0) / sd
    gain = np.where(free, (mean - 1.0) * norm.cdf(z) + sd * norm.pdf(z), -np.inf)
    return mean, sd, np.argsort(-gain)[:10]


def _anew(x: np.ndarray, labels: int) -> Figure:
    """The whole posterior from nothing, as after new hyper-parameters."""
    from engine.learning.kernels import Kernel
    from engine.learning.posterior import Posterior

    rows = np.random.default_rng(1).choice(len(x), labels, replace=False)
    y = (x[rows, 0] > 1).astype(float)

    def ours():
        posterior = Posterior(x, Kernel("matern", variance=1.0, length=LENGTH, noise=NOISE))
        posterior.extend(rows, y)
        return posterior.mean, posterior.sd

    def agree(mine, theirs):
        error = max(np.abs(a - b).max() for a, b in zip(mine, theirs))
        assert error < 1e-3, error
        return f"largest difference of mean and sd {error:.0e}; V is kept for the next label"

    return compare(
        f"the posterior of {len(x):,} objects from {labels} labels at once",
        f"scikit-learn {version('scikit-learn')} GPR fit (hyper-parameters kept) + predict",
        ours,
        lambda: _protege(x, rows, y, np.ones(len(x), bool), False)[:2],
        agree,
        pairs=3,
    )


def _with_the_log(x: np.ndarray, labels: int) -> list[Figure]:
    """The same in the learner, label log and all; and while hyper-parameters are refitted."""
    from engine.learning.interest import Interest

    folder = Path(tempfile.mkdtemp())
    try:
        survey = _survey(folder, x)
        rows = np.random.default_rng(1).choice(len(x), labels + 100, replace=False)
        values = np.where(x[rows, 0] > 1, "yes", "no")
        ids = [f"g{row}" for row in rows]
        survey.labels.add(rows[:labels], "bench", values[:labels].tolist(), ids=ids[:labels], user="bench")
        hunt = Interest(survey, "bench")
        at = [labels]

        def label():
            k = at[0]
            survey.labels.add([rows[k]], "bench", values[k], ids=[ids[k]], user="bench")
            at[0] += 1
            batch = hunt.next_batch(10)
            return hunt.said(), batch

        def refit():
            m = at[0]
            free = np.ones(len(x), bool)
            free[rows[:m]] = False
            return _protege(x, rows[:m], (values[:m] == "yes").astype(float), free, False)

        quiet = compare(
            f"a label in the log (on the disk) → mean, sd and next 10 of {len(x):,} objects ({labels} labels)",
            f"scikit-learn {version('scikit-learn')} GPR refit, hyper-parameters kept, + predict + sort; no log",
            label,
            refit,
            lambda mine, theirs: f"next 10: {', '.join(sorted(set(mine[1].how.tolist())))}",
            pairs=5,
        )
        busy = _while_refitting(hunt, label)
        survey.labels.close()
        return [quiet, busy]
    finally:
        shutil.rmtree(folder)


def _while_refitting(hunt, label) -> Figure:
    """Labels while another thread refits again and again, against labels in quiet."""
    stop, fits = threading.Event(), []

    def refitting():
        while not stop.is_set():
            started = time.perf_counter()
            hunt.refit()
            fits.append(time.perf_counter() - started)

    quiet = [_timed(label) for _ in range(15)]
    worker = threading.Thread(target=refitting)
    worker.start()
    busy = []
    while len(busy) < 15 or not fits:
        busy.append(_timed(label))
        time.sleep(0.05)  # as somebody who looks
        if len(busy) >= 60:
            break
    stop.set()
    worker.join()
    return Figure(
        "the same while hyper-parameters are refitted",
        "the same in quiet (a ratio of 0.5 is twice as long)",
        statistics.median(busy),
        statistics.median(quiet),
        max(busy) / min(busy),
        f"longest {max(busy) * 1e3:.0f} ms; {len(fits)} refits of {statistics.median(fits):.2g} s meanwhile",
    )


def _timed(call) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def _survey(folder: Path, x: np.ndarray):
    """A survey without pixels whose representation is these features."""
    import pandas as pd

    from engine import files
    from engine.survey import Survey

    objects = pd.DataFrame({"id": [f"g{i}" for i in range(len(x))], "ra": 10.0, "dec": 0.0})
    survey = Survey.create(folder / "bench.survey", objects, pixels={"kind": "images", "root": ".", "bands": ["r"]})
    place = survey.path / "representations" / "bench"
    files.write_npy(place / "vectors.npy", x)
    files.write_npy(place / "valid.npy", np.ones(len(x), bool))
    files.write_json(place / "meta.json", {"encoder": "bench"})
    return survey

"""The comparison of methods, on a few small pictures in the form of Galaxy Zoo 2."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy.stats import spearmanr

from engine import Survey, UserError
from engine.encoders import load
from engine.encoders.trained import Trained
from engine.training import compare
from engine.training.compare import (
    Row,
    answers,
    claim,
    encoded,
    fitted,
    page,
    rank_correlation,
    surveys,
    table,
    untrained,
)
from engine.training.evaluate import encode
from engine.training.examples import PICTURES, held_out, read_pictures
from engine.training.monitor import rankme


@pytest.fixture(scope="module")
def zoo(tmp_path_factory):
    """Sixty pictures of ellipses with vote fractions, as ``gz2`` has them."""
    folder = tmp_path_factory.mktemp("data") / "gz2"
    (folder / "images").mkdir(parents=True)
    rng = np.random.default_rng(0)
    x, y = np.meshgrid(np.linspace(-1, 1, 48), np.linspace(-1, 1, 48))
    ids = np.arange(100_000, 100_060)
    for galaxy in ids:
        shape = np.exp(-(x**2 + (y / rng.uniform(0.2, 1)) ** 2) * 8)[..., None] * rng.uniform(100, 250, size=3)
        Image.fromarray(shape.astype(np.uint8)).save(folder / "images" / f"{galaxy}.jpg", quality=95)
    votes = {column: rng.random(len(ids)).round(6) for column, _ in compare.QUESTIONS.values()}
    pd.DataFrame({"GalaxyID": ids, **votes}).to_csv(folder / "catalogue.csv", index=False)
    return folder


@pytest.fixture(scope="module")
def halves(zoo, tmp_path_factory):
    """The two surveys of them."""
    return surveys(zoo, tmp_path_factory.mktemp("work"))


def test_galaxies_are_split_for_ever(zoo, halves):
    train, held = halves
    assert len(train) + len(held) == 60 and not set(train.ids.to_pylist()) & set(held.ids.to_pylist())
    assert all(held_out(i) for i in held.ids.to_pylist()) and not any(held_out(i) for i in train.ids.to_pylist())
    again = surveys(zoo, held.path.parent)
    assert again[1].ids.equals(held.ids)
    with pytest.raises(UserError, match="comparison of other galaxies"):
        surveys(zoo, held.path.parent, objects=30)


def test_answers_are_those_of_the_catalogue(zoo, halves):
    held = halves[1]
    votes = pd.read_csv(zoo / "catalogue.csv", dtype={"GalaxyID": str}).set_index("GalaxyID").loc[held.ids.to_pylist()]
    found = answers(held)
    assert np.array_equal(found["merger"], votes["Class8.6"].to_numpy() > 0.2)
    assert np.array_equal(found["featured"], votes["Class1.2"].to_numpy() > 0.5)


def test_a_survey_is_encoded_as_its_pictures_are(zoo, halves):
    held = halves[1]
    pictures = read_pictures([zoo / "images" / f"{i}.jpg" for i in held.ids.to_pylist()], 48)
    encoder = load("skysieve-base")
    assert encoded(held, encoder) == pytest.approx(encode(encoder, pictures, PICTURES, False), abs=0.05)


def test_the_baseline_is_fitted_to_the_galaxies_of_the_training(halves):
    train, held = halves
    encoder = fitted(load("pixels"), train)
    assert encoded(train, encoder).mean(axis=0) == pytest.approx(0, abs=0.01)
    assert encoded(held, encoder).shape == (len(held), encoder.dimension)


@pytest.mark.parametrize("method", ["simmim", "byol", "votes"])
def test_the_untrained_encoder_is_the_one_that_training_began_with(halves, method):
    train = halves[0]
    training = train.train(method, name=f"few-{method}", steps=2, batch=8, size=32, checkpoint_seconds=1e6)
    first, last = training.quality()[0], training.quality()[-1]
    assert first["step"] == 0 and last["step"] == 2
    assert rankme(encoded(train, untrained(training))) == pytest.approx(first["rankme"], rel=0.02)
    assert rankme(encoded(train, Trained(training.folder))) == pytest.approx(last["rankme"], rel=0.02)


def test_rank_correlation_is_spearmans():
    rng = np.random.default_rng(1)
    first, second = rng.normal(size=8), rng.normal(size=8)
    assert rank_correlation(first, second) == pytest.approx(spearmanr(first, second).statistic)
    assert rank_correlation([1, 2, 3, 4], [9, 7, 5, 3]) == pytest.approx(-1)
    assert rank_correlation([1, 2, 3], [1, 2, 3]) is None and rank_correlation([1, 2, 3, 4], [2, 2, 2, 2]) is None


def rows() -> list[Row]:
    """Figures made up, of a training that helped with one question and not with another."""
    checkpoints = [
        {"step": s, "two_point": float(s), "davies_bouldin": 5.0 - s, "clusters": 0.1 * s, "probe": 0.5}
        for s in range(5)
    ]
    before = {"probe merger": 0.5, "probe ring": 0.7, "probe": 0.6, "two_point": 2.0, "two_point_error": 1.5}
    after = {"probe merger": 0.8, "probe ring": 0.6, "probe": 0.7, "two_point": 9.0, "two_point_error": 2.5}
    return [Row("simmim", after, before, 1234, (0.9, 0.4), checkpoints), Row("pixels", {"probe ring": 0.65})]


def test_the_table_says_what_changed_and_marks_what_grew():
    lines = table(rows()).splitlines()
    assert len(lines) == 4 and len({line.count("|") for line in lines}) == 1
    trained, pixels = lines[2], lines[3]
    assert "| `simmim` | 1,234 | 0.9 → 0.4 | 0.500 → **0.800** | 0.700 → 0.600 | – → – |" in trained
    assert "2.0 ± 1.5 → **9.0 ± 2.5**" in trained
    assert "| pixels | – | – | – | 0.650 |" in pixels and "→" not in pixels


def test_the_claim_is_a_rank_correlation_over_checkpoints():
    lines = claim(rows()).splitlines()
    assert lines[-1] == "| `simmim` | 5 | -1.00 | +1.00 | – |" and len(lines) == 3
    written = page(rows(), ["45 galaxies."], command="python -m x", seconds=90)
    assert table(rows()) in written and claim(rows()) in written and "`python -m x` in 2 minutes" in written


def test_a_folder_without_galaxies_is_a_users_error(tmp_path, capsys):
    assert compare.main([str(tmp_path)]) == 2
    assert "holds no folder gz2" in capsys.readouterr().err


@pytest.mark.slow
def test_the_documented_command_writes_its_page(shared_data, tmp_path, capsys):
    arguments = ["--minutes", "0.2", "--objects", "300", "--methods", "votes", "--work", str(tmp_path / "work")]
    assert compare.main([str(shared_data), *arguments, "--out", str(tmp_path / "page.md")]) == 0
    written = (tmp_path / "page.md").read_text(encoding="utf-8")
    assert written in capsys.readouterr().out and "| `votes` |" in written and "| pixels |" in written
    assert str(tmp_path) not in written
    assert Survey.open(tmp_path / "work" / "train.survey").path.is_dir()

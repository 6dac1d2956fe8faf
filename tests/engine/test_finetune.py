"""Fine-tuning: what is learned from, the head and its start, the steps, what is kept, and what is left in the survey."""

import json
import shlex
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import save_file
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from torch import nn

from engine import files
from engine.cli import main
from engine.encoders import backbones, load
from engine.encoders.tuned import layers
from engine.errors import UserError
from engine.survey import Survey
from engine.training import head as heads
from engine.training import truth, tuning
from engine.training.finetune import answers, open_head
from engine.training.record import Training
from engine.training.truth import Truth
from engine.training.tuning import Material, Recipe, Tuning

SIDE, BANDS = 32, ("g", "r")
#: Quick, and still enough to learn from.
QUICK = {"epochs": 4, "folds": 2, "rate": 2e-3, "batch": 16}


def blobs(count: int, seed: int = 0) -> tuple[np.ndarray, pd.DataFrame]:
    """Blobs at any angle, thin or round, in two bands with noise; what they are."""
    rng = np.random.default_rng(seed)
    thin = rng.random(count) < 0.5
    ratio = np.where(thin, 0.35, 0.9)[:, None, None]
    angle = rng.uniform(0, np.pi, (count, 1, 1))
    width = rng.uniform(3, 5, (count, 1, 1))
    y, x = np.mgrid[:SIDE, :SIDE] - (SIDE - 1) / 2
    along, across = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    shape = np.exp(-0.5 * ((along / width) ** 2 + (across / width / ratio) ** 2))
    flux = rng.uniform(5, 20, (count, 2, 1, 1))
    pixels = (flux * shape[:, None] + rng.normal(0, 1, (count, 2, SIDE, SIDE))).astype(np.float32)
    table = pd.DataFrame(
        {
            "id": [f"O{k}" for k in range(count)],
            "ra": np.nan,
            "dec": np.nan,
            "pixels_index": np.arange(count),
            "thin": thin,
            "kind": np.where(thin, "thin", np.where(width[:, 0, 0] > 4, "large", "small")),
            "light": np.log((flux.sum(axis=1) * width**2 * ratio)[:, 0, 0]).astype(np.float32),
        }
    )
    return pixels, table


def make_survey(path: Path, count: int = 120, *, blank=()) -> Survey:
    pixels, table = blobs(count)
    pixels[list(blank)] = np.nan

    def fill(folder):
        with h5py.File(folder / "cutouts.h5", "w") as file:
            file["images"] = pixels

    levels = {"background": [0.0, 0.0], "noise": [1.0, 1.0], "bright": [20.0, 20.0]}
    header = {"kind": "hdf5", "root": "cutouts.h5", "dataset": "images", "bands": list(BANDS), "science": True}
    survey = Survey.create(path, table, pixels=header | levels, fill=fill)
    make_training(survey)
    return survey


def small_network() -> backbones.Backbone:
    """A residual network with fresh weights, that knows the mean and the spread of what passes through it."""
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(1)
        network = backbones.make("convnet", bands=2, size=SIDE, widths=(8, 8, 16, 16), blocks=(1, 1, 1, 1))
        for norm in network.modules():
            if isinstance(norm, nn.BatchNorm2d):
                norm.momentum = None
        network(torch.asinh(torch.from_numpy(blobs(64, seed=9)[0])) / 4)
    return network.eval()


def make_training(survey: Survey) -> None:
    """A finished training, ``models/base``."""
    network = small_network()
    folder = survey.path / "models" / "base"
    folder.mkdir(parents=True)
    save_file({k: v.contiguous() for k, v in network.state_dict().items()}, folder / "encoder.safetensors")
    card = {"method": "byol", "backbone": network.settings, "bands": list(BANDS), "asinh": True, "size": SIDE}
    files.write_json(folder / "encoder.json", card | {"dimension": network.dimension})


def label(survey: Survey, target: str, values: list[str]) -> None:
    """Label the first objects."""
    for value in sorted(set(values)):
        rows = [k for k, v in enumerate(values) if v == value]
        survey.labels.add(rows, target, value, ids=[f"O{k}" for k in rows], user="someone")


@pytest.fixture
def survey(tmp_path):
    """120 blobs, the first 40 labelled thin or not."""
    made = make_survey(tmp_path / "blobs.survey")
    label(made, "thin", ["yes" if thin else "no" for thin in made.column("thin")[:40]])
    return made


def material(count: int = 60, *, kind: str = "verdict", seed: int = 0) -> Material:
    """Blobs in memory, with the small network over them."""
    pixels, table = blobs(count, seed)
    if kind == "number":
        known = Truth("t", kind, np.arange(count), table["light"].to_numpy(np.float64), (), "column")
    else:
        known = Truth("t", kind, np.arange(count), table["thin"].to_numpy(np.int64), ("no", "yes"), "labels")
    encoder = Plain(small_network())
    vectors = encoder(encoder.prepare(pixels, None, True)).numpy()
    return Material(encoder, known, pixels, vectors, None, True, torch.device("cpu"))


class Plain:
    """A network as an encoder of pixels as they are."""

    def __init__(self, network):
        self.network = network

    def prepare(self, pixels, calibration, science):
        return torch.asinh(torch.from_numpy(np.asarray(pixels))) / 4

    @torch.no_grad()
    def __call__(self, batch):
        return self.network(batch)


# -- what is learned from ----------------------------------------------------------------------------------------------


def test_verdicts_leave_out_the_unsure_and_the_undone(survey):
    label(survey, "odd", ["yes", "no"] * 8 + ["unsure"] * 3)
    survey.labels.add([0], "odd", "no", ids=["O0"], user="another")
    known = truth.of_labels(survey, "odd")
    assert known.kind == "verdict" and known.classes == ("no", "yes") and known.left_out == 3
    np.testing.assert_array_equal(known.rows, np.arange(16))
    np.testing.assert_array_equal(known.values, [0, 0] + [1, 0] * 7)


def test_classes_and_ratings_are_taken_for_what_they_are(survey):
    label(survey, "class", ["star"] * 7 + ["galaxy"] * 8 + ["comet"] * 2)
    known = truth.of_labels(survey, "class")
    assert known.kind == "classes" and known.counts == {"galaxy": 8, "star": 7} and known.left_out == 2
    label(survey, "rating", [str(k % 6) for k in range(30)])
    known = truth.of_labels(survey, "rating")
    assert known.kind == "number" and known.bounds == (0.0, 5.0)
    np.testing.assert_array_equal(known.values, np.arange(30) % 6)


@pytest.mark.parametrize(
    ("column", "kind"),
    [("thin", "verdict"), ("kind", "classes"), ("light", "number"), ("light > 5.5", "verdict")],
)
def test_a_column_is_taken_for_what_it_is(survey, column, kind):
    known = truth.of_column(survey, "t", column)
    assert known.kind == kind and len(known) == 120
    if column == "light > 5.5":
        np.testing.assert_array_equal(known.values, survey.column("light") > 5.5)
    if column == "kind":
        assert [known.classes[v] for v in known.values] == survey.column("kind").tolist()


def test_a_missing_value_is_neither_yes_nor_no(make_survey):
    z = np.linspace(0, 1, 40)
    z[:5] = np.nan
    known = truth.of_column(make_survey(40, columns={"z.best": z}), "far", "`z.best` > 0.5")
    assert known.left_out == 5 and len(known) == 35
    np.testing.assert_array_equal(known.values, z[5:] > 0.5)


@pytest.mark.parametrize(
    ("column", "options", "words"),
    [
        ("nothing", {}, "no column 'nothing'"),
        ("id", {}, "different values"),
        ("kind", {"kind": "number"}, "holds text"),
        ("light", {"kind": "verdict"}, "neither yes nor no"),
        ("light > 1000", {}, "too few"),
        ("thin", {"kind": "colour"}, "no kind of answer"),
    ],
)
def test_what_says_nothing_is_refused(survey, column, options, words):
    with pytest.raises(UserError, match=words):
        truth.of_column(survey, "t", column, **options)


def test_too_few_labels_are_refused(survey):
    with pytest.raises(UserError, match=r"no labels for 'dwarf'.*thin"):
        truth.of_labels(survey, "dwarf")
    label(survey, "dwarf", ["yes"] * 2 + ["no"] * 30)
    with pytest.raises(UserError, match="2 yes"):
        truth.of_labels(survey, "dwarf")


def test_thinning_keeps_the_rare():
    values = np.array([0] * 900 + [1] * 30)
    known = Truth("t", "verdict", np.arange(930), values, ("no", "yes"), "labels")
    few = truth.thinned(known, 100, seed=0)
    assert few.counts == {"no": 70, "yes": 30}
    assert (np.diff(few.rows) > 0).all()
    np.testing.assert_array_equal(few.values, values[few.rows])


# -- the head ----------------------------------------------------------------------------------------------------------


def some(kind: str, *, count=90, dimension=7, classes=3, seed=0) -> tuple[np.ndarray, Truth]:
    """Vectors, and answers that hang on them."""
    rng = np.random.default_rng(seed)
    vectors = rng.normal(3, 1, (count, dimension)) * np.arange(1, dimension + 1)
    line = vectors[:, 0] + 0.5 * rng.normal(size=count)
    if kind == "number":
        values = 40 + 3 * (vectors[:, 0] - 3) + 0.1 * rng.normal(size=count)
        return vectors, Truth("t", kind, np.arange(count), values, (), "column")
    edges = np.quantile(line, [0.8] if kind == "verdict" else np.linspace(0, 1, classes + 1)[1:-1])
    names = ("no", "yes") if kind == "verdict" else tuple("abc"[:classes])
    return vectors, Truth("t", kind, np.arange(count), np.searchsorted(edges, line), names, "labels")


@pytest.mark.parametrize("kind", ["verdict", "classes", "number"])
def test_the_start_is_a_minimum_of_loss_and_penalty(kind):
    """The gradient of what tuning minimises is zero at the closed-form head, so only better features can move it."""
    vectors, known = some(kind)
    head = heads.started(vectors, known)
    inputs = torch.from_numpy(vectors).float()
    loss = heads.losses(head, head(inputs), torch.from_numpy(known.values))
    total = (loss * torch.from_numpy(heads.weights(known)).float()).mean() + head.penalty
    gradient = torch.autograd.grad(total, head.linear.weight)[0]
    fresh = heads.Head(7, len(head.linear.bias), classes=len(known.classes))
    for name in ("mean", "sd", "frequency", "centre", "spread", "strength"):
        getattr(fresh, name).copy_(getattr(head, name))
    nn.init.zeros_(fresh.linear.weight)
    away = heads.losses(fresh, fresh(inputs), torch.from_numpy(known.values))
    slope = torch.autograd.grad(away.mean(), fresh.linear.weight)[0]
    assert gradient.abs().max() < 0.02 * slope.abs().max()


def test_the_start_is_the_logistic_fit_of_standardised_vectors():
    vectors, known = some("verdict")
    head = heads.started(vectors, known)
    strength = 1 / (float(head.strength) * len(known))
    features = StandardScaler().fit_transform(vectors)
    twin = LogisticRegression(C=strength, class_weight="balanced", max_iter=200).fit(features, known.values)
    given = head(torch.from_numpy(vectors).float()).detach().numpy()[:, 0]
    np.testing.assert_allclose(given, twin.decision_function(features), atol=1e-3)
    assert min(abs(np.log(strength / c)) for c in heads.STRENGTHS) < 1e-3


def test_two_classes_by_name_are_one_verdict():
    vectors, known = some("verdict")
    verdict = heads.started(vectors, known)
    named = heads.started(vectors, replace(known, kind="classes", classes=("a", "b")))
    inputs = torch.from_numpy(vectors).float()
    np.testing.assert_allclose(named.answers(named(inputs)), verdict.answers(verdict(inputs)), atol=1e-5)


def test_answers_know_how_common_a_class_is():
    """Vectors that say nothing: the answer is the share of each class, although all weighed alike in learning."""
    vectors = np.random.default_rng(0).normal(size=(200, 4))
    values = np.repeat([0, 1], [180, 20])
    head = heads.started(vectors, Truth("t", "verdict", np.arange(200), values, ("no", "yes"), "labels"))
    with torch.no_grad():
        given = head.answers(head(torch.from_numpy(vectors).float())).numpy()
    np.testing.assert_allclose(given.sum(axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(given[:, 1].mean(), 0.1, atol=0.02)


def test_an_absent_class_is_never_the_answer():
    vectors, known = some("classes")
    head = heads.started(vectors, replace(known, classes=("a", "b", "c", "d")))
    with torch.no_grad():
        given = head.answers(head(torch.from_numpy(vectors).float())).numpy()
    assert given[:, 3].max() < 1e-6


def test_area_is_the_share_of_pairs_in_order():
    rng = np.random.default_rng(0)
    values, score = rng.integers(0, 2, 40), rng.integers(0, 5, 40) / 5
    pairs = [(a > b) + 0.5 * (a == b) for a in score[values == 1] for b in score[values == 0]]
    assert heads.area(np.stack([1 - score, score], axis=1), values) == pytest.approx(np.mean(pairs))


def test_figures_of_numbers():
    values = np.array([1.0, 2.0, 3.0, 4.0])
    known = Truth("t", "number", np.arange(4), values, (), "column")
    found = heads.figures(values[:, None] + 0.5, known)
    assert found["bias"].value == pytest.approx(0.5) and found["nmad"].value == pytest.approx(0)
    assert found["r2"].value == pytest.approx(1 - 0.25 / 1.25)
    assert heads.figures(np.full((4, 1), 2.5), known)["r2"].value == pytest.approx(0)


# -- the steps ---------------------------------------------------------------------------------------------------------


def networks() -> list[nn.Module]:
    from transformers import ConvNextConfig, ConvNextModel, ViTConfig, ViTModel

    vit = ViTConfig(hidden_size=16, num_hidden_layers=3, num_attention_heads=2, intermediate_size=32, image_size=32)
    convnext = ConvNextConfig(hidden_sizes=[8, 8, 16, 16], depths=[1, 1, 2, 1])
    return [
        backbones.make("vit-tiny", bands=2, size=16, width=16, depth=3, heads=2),
        backbones.make("convnet", bands=2, size=32, widths=(8, 8, 16, 16), blocks=(1, 1, 1, 1)),
        load("skysieve-base").network,
        ViTModel(vit),
        ConvNextModel(convnext),
    ]


@pytest.mark.parametrize("number", range(5))
def test_rates_fall_towards_the_input(number):
    """Against a slow twin that asks of every parameter by name which part it is in."""
    network, head = networks()[number], nn.Linear(4, 2)
    groups = tuning.parameter_groups(network, head, rate=1.0, layer_decay=0.5, decay=0.1)
    found = {id(p): (g["lr"], g["weight_decay"]) for g in groups for p in g["params"]}
    stack = layers(network)
    assert len(stack) >= 3
    for parameter in network.parameters():
        inside = [k for k, part in enumerate(stack) if any(p is parameter for p in part)]
        assert len(inside) == 1
        assert found[id(parameter)] == (0.5 ** (len(stack) - inside[0]), 0.1 if parameter.ndim > 1 else 0.0)
    for parameter in head.parameters():
        assert found[id(parameter)] == (1.0, 0.1 if parameter.ndim > 1 else 0.0)
    assert sum(len(g["params"]) for g in groups) == len(list(network.parameters())) + 2


def test_blocks_of_a_foreign_network_are_layers_of_their_own():
    """Three blocks of a ViT have three rates, the patches the lowest."""
    network = networks()[3]
    by_name = {name: id(p) for name, p in network.named_parameters()}
    place = {id(p): k for k, part in enumerate(layers(network)) for p in part}
    first = place[next(v for name, v in by_name.items() if "patch" in name)]
    blocks = [place[next(v for n, v in by_name.items() if f"layer.{k}." in n or f"layers.{k}." in n)] for k in range(3)]
    assert first == 0 < blocks[0] < blocks[1] < blocks[2]


def test_the_schedule_warms_up_and_ends_at_nothing():
    at = [tuning.schedule(done) for done in np.linspace(0, 1, 101)]
    assert at[0] == 0 and max(at) == pytest.approx(1) and at[-1] == pytest.approx(0)
    assert np.argmax(at) == 10


@pytest.mark.parametrize("science", [True, False])
@pytest.mark.parametrize("how", ["turn", "disturb", "none"])
def test_augmented_cutouts_keep_their_units(how, science):
    from engine.data.pictures.stretch import Calibration

    rng = np.random.default_rng(0)
    pixels = rng.normal(100, 2, (16, 2, 16, 16)).astype(np.float32)
    pixels[:, 0, :2, :2] = np.nan
    calibration = Calibration(np.array([100.0, 100.0]), np.array([2.0, 2.0]), np.array([50.0, 50.0]))
    given = tuning.augmented(pixels, calibration, science, how=how, rng=torch.Generator().manual_seed(0))
    assert given.shape == pixels.shape and given.dtype == np.float32
    assert np.nanmedian(given) == pytest.approx(100, abs=2 if science else 12)
    if how == "turn":
        np.testing.assert_array_equal(np.sort(given.ravel()), np.sort(pixels.ravel()))
    if how == "none":
        assert given is pixels


def test_tuning_leaves_the_encoder_and_the_statistics_alone(monkeypatch):
    monkeypatch.setattr(tuning, "has_bfloat16", lambda place: False)
    given = material()
    before = {k: v.clone() for k, v in given.encoder.network.state_dict().items()}
    made = Tuning(given, np.arange(60), Recipe(epochs=2, rate=1e-2))
    start = made.outputs(np.arange(60))
    torch.testing.assert_close(start, made.head(torch.from_numpy(given.vectors)).detach(), rtol=1e-3, atol=1e-3)
    made.epoch()
    assert all(torch.equal(v, before[k]) for k, v in given.encoder.network.state_dict().items())
    for name, value in made.network.state_dict().items():
        if "running" in name or "num_batches" in name:
            assert torch.equal(value, before[name])
    assert not torch.equal(made.network.stem[0].weight, given.encoder.network.stem[0].weight)


@pytest.mark.parametrize("kind", ["verdict", "number"])
def test_splits_leave_every_object_out_once(kind):
    known = material(50, kind=kind).truth
    parts = tuning.splits(known, 5, 0)
    assert sorted(np.concatenate([leave for _, leave in parts])) == list(range(50))
    for learn, leave in parts:
        assert not set(learn) & set(leave) and len(learn) + len(leave) == 50
        if kind == "verdict":
            assert known.values[leave].mean() == pytest.approx(known.values.mean(), abs=0.1)
    assert len(tuning.splits(known, 1, 0)) == 1


def test_a_round_is_kept_only_if_it_is_better_beyond_doubt():
    base = np.array([1.0, 1.2, 0.8, 1.1])
    clearly, hardly = base - [0.5, 0.4, 0.5, 0.6], base - [3.0, -1.0, -1.0, -0.9]
    equal = [0.9, 0.9, 0.9]
    assert tuning.choose(np.stack([base, hardly, clearly]), equal) == 2
    assert tuning.choose(np.stack([base, hardly, hardly]), equal) == 0
    assert tuning.choose(np.stack([base, clearly, clearly]), [0.9, 0.8, 0.9]) == 2
    assert tuning.choose(np.stack([base, np.full(4, np.inf), clearly * np.nan]), equal) == 0


def test_tuning_learns_what_frozen_features_do_not_say():
    judged = tuning.judge(material(120), Recipe(epochs=12, folds=2, rate=3e-3, batch=16))
    assert judged.chosen > 0
    assert judged.merits[judged.chosen] >= judged.merits[0]
    assert judged.losses[judged.chosen].mean() < 0.9 * judged.losses[0].mean()


def test_one_fold_gives_up_when_nothing_falls():
    told = []
    judged = tuning.judge(material(60), Recipe(epochs=40, folds=1, rate=10.0), told.append)
    assert judged.chosen == 0 and len(told) < 40 * 2
    assert len(judged.rows) == 12


# -- the whole ---------------------------------------------------------------------------------------------------------


def test_forty_labels(survey):
    """Not below the frozen head, finite everywhere, and the scores are the head over the stored vectors."""
    made = survey.finetune("thin", encoder="base", **QUICK)
    assert made.labels == 40 and made.name == "thin-1" and made.scores == ("p_thin",)
    assert made.figures["auc"][0] >= made.frozen["auc"][0]
    score = survey.score("p_thin")
    assert np.isfinite(score).all() and (score >= 0).all() and (score <= 1).all()
    vectors = survey.representation(made.representation)
    given = answers(open_head(made.folder), vectors.vectors, np.ones(120, bool))
    np.testing.assert_allclose(score, given[:, 1])
    provenance = files.read_json(survey.path / "scores" / "p_thin.provenance.json")
    assert provenance["model"] == "thin-1" and provenance["event"] == survey.labels.latest("thin")
    card = files.read_json(made.folder / "encoder.json")
    assert card["figures"]["auc"] == list(made.figures["auc"]) and card["labels"] == 40
    quality = [json.loads(line) for line in (made.folder / "quality.jsonl").read_text().splitlines()]
    assert [record["step"] for record in quality] == [0, 2, 4, 6, 8]
    assert quality[0]["auc"] == pytest.approx(made.frozen["auc"][0], abs=1e-4)
    again = survey.finetune("thin", encoder="base", **QUICK)
    assert again == made


def test_the_same_seed_gives_the_same_bytes(survey):
    made = [survey.finetune("thin", encoder="base", name=name, score=False, **QUICK) for name in ("a", "b")]
    for file in ("encoder.safetensors", "head.safetensors", "quality.jsonl"):
        assert (made[0].folder / file).read_bytes() == (made[1].folder / file).read_bytes()
    other = survey.finetune("thin", encoder="base", name="c", score=False, **QUICK, seed=1)
    assert (other.folder / "quality.jsonl").read_bytes() != (made[0].folder / "quality.jsonl").read_bytes()


def test_a_tuned_encoder_is_an_encoder_of_the_survey(survey):
    made = survey.finetune("thin", column="thin", encoder="base", score=False, **QUICK)
    assert made.tuned
    encoder = load(made.name, models=survey.path / "models")
    base = load("base", models=survey.path / "models")
    assert encoder.identity != base.identity and encoder.bands == base.bands
    vectors = survey.embed(made.name)
    assert vectors.name == made.name and np.isfinite(vectors.vectors).all()
    twice = survey.finetune("thin", column="kind", encoder=made.name, name="twice", score=False, **QUICK)
    assert load(str(twice.folder)).dimension == encoder.dimension


def test_what_would_diverge_keeps_the_frozen_network(survey):
    made = survey.finetune("thin", encoder="base", **QUICK | {"rate": 100.0})
    assert not made.tuned and made.figures == made.frozen
    assert made.representation == "base" and np.isfinite(survey.score("p_thin")).all()
    base, kept = (load(name, models=survey.path / "models").network.state_dict() for name in ("base", made.name))
    assert all(torch.equal(base[k], kept[k]) for k in base)
    assert "frozen network was kept" in made.text()


def test_classes_and_their_scores(survey):
    made = survey.finetune("kind", column="kind", encoder="base", **QUICK)
    assert made.scores == ("p_kind_large", "p_kind_small", "p_kind_thin")
    total = sum(survey.score(name) for name in made.scores)
    np.testing.assert_allclose(total, 1, atol=1e-5)


def test_a_regression(survey):
    made = survey.finetune("light", column="light", encoder="base", **QUICK)
    assert made.scores == ("pred_light",) and set(made.figures) == {"r2", "nmad", "bias"}
    assert made.figures["r2"][0] > 0.5
    predicted, light = survey.score("pred_light"), survey.column("light")
    assert np.corrcoef(predicted, light)[0, 1] > 0.8


def test_ratings_stay_within_their_bounds(survey):
    label(survey, "liked", [str(k % 6) for k in range(40)])
    made = survey.finetune("liked", encoder="base", **QUICK | {"epochs": 1})
    score = survey.score("pred_liked")
    assert made.scores == ("pred_liked",) and score.min() >= 0 and score.max() <= 5


def test_unreadable_objects_have_no_score(tmp_path):
    survey = make_survey(tmp_path / "some.survey", blank=(3, 60))
    made = survey.finetune("thin", column="thin", encoder="base", **QUICK | {"epochs": 1})
    assert made.labels == 118
    np.testing.assert_array_equal(np.flatnonzero(~np.isfinite(survey.score("p_thin"))), [3, 60])


def test_cancelled_leaves_nothing_half_done(survey):
    def cancel(done, total, stage):
        if stage == "tuning" and done > 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        survey.finetune("thin", encoder="base", progress=cancel, **QUICK)
    assert not (survey.path / "models" / "thin-1" / "encoder.json").exists()
    assert survey.scores == []
    assert survey.finetune("thin", encoder="base", **QUICK).name == "thin-1"


def test_more_labels_make_another(survey):
    quick = QUICK | {"epochs": 1}
    first = survey.finetune("thin", encoder="base", score=False, **quick)
    survey.labels.add([50], "thin", "yes", ids=["O50"], user="someone")
    second = survey.finetune("thin", encoder="base", score=False, **quick)
    assert (first.name, second.name) == ("thin-1", "thin-2")
    with pytest.raises(UserError, match="'thin-1' is taken"):
        survey.finetune("thin", encoder="base", name="thin-1", **quick)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"encoder": "pixels"}, "'pixels' cannot be fine-tuned.*no network"),
        ({"encoder": "nonsense"}, "no encoder 'nonsense'"),
        ({"name": "base"}, "'base' is taken"),
        ({"name": "skysieve-base"}, "'skysieve-base' is taken"),
        ({"name": "../out"}, "cannot be used as a name"),
        ({"augmentation": "magic"}, "no augmentation"),
        ({"dropout": 1.0}, "dropout"),
    ],
)
def test_refused(survey, options, words):
    with pytest.raises(UserError, match=words):
        survey.finetune("thin", **{"encoder": "base"} | options)


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_an_exported_network_is_refused(survey, tmp_path):
    class Mean(nn.Module):
        def forward(self, x):
            return x.mean(dim=(2, 3))

    torch.jit.trace(Mean(), torch.zeros(1, 2, 16, 16)).save(str(tmp_path / "mean.pt"))
    files.write_json(tmp_path / "mean.json", {"size": 16})
    with pytest.raises(UserError, match=r"cannot be fine-tuned"):
        survey.finetune("thin", encoder=str(tmp_path / "mean.pt"))


def test_a_lost_start_is_explained(survey):
    made = survey.finetune("thin", encoder="skysieve-base", score=False, epochs=1, folds=2)
    card = files.read_json(made.folder / "encoder.json")
    assert load(str(made.folder)).dimension == card["dimension"]
    files.write_json(made.folder / "encoder.json", card | {"start": {"encoder": "gone"}})
    with pytest.raises(UserError, match="tuned from the encoder 'gone'"):
        load(str(made.folder))


def test_a_hugging_face_model(survey, tmp_path):
    from transformers import ViTConfig, ViTModel

    torch.manual_seed(0)
    config = ViTConfig(hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32, image_size=32)
    ViTModel(config, add_pooling_layer=False).save_pretrained(tmp_path / "vit")
    made = survey.finetune("thin", encoder=f"hf:{tmp_path / 'vit'}", **QUICK | {"epochs": 2})
    assert np.isfinite(survey.score("p_thin")).all() and made.figures["auc"][0] >= made.frozen["auc"][0]
    assert survey.embed(made.name).vectors.shape == (120, 16)


def test_the_command(survey, capsys):
    given = ["finetune", str(survey.path), "--target", "thin", "--encoder", "base", "--epochs", "9", "--folds", "2"]
    assert main([*given, "--json", "--progress", "none"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["labels"] == 40 and told["scores"] == ["p_thin"] and "auc" in told["figures"]
    training = Training.open(survey.path / "models" / "thin-1")
    assert training.finished and [record["step"] for record in training.history()] == []
    words = shlex.split(training.settings["command"])[3:]
    assert main([*words, "--json", "--progress", "none"]) == 0  # what it says to type is the same one, finished
    assert json.loads(capsys.readouterr().out)["name"] == "thin-1"
    assert main(["finetune", str(survey.path), "--progress", "none"]) == 2
    assert "--target" in capsys.readouterr().err

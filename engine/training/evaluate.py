"""How good a representation is for finding and classifying, on labelled cutouts it was not trained on.

All of it is read off the 40 leading principal components, what every model of the product sees: a logistic probe
(average precision, area under the ROC curve; from 200 labels, the mean of ten draws) and the purity of the nearest
neighbours.

    python -m engine.training.evaluate DATA [ENCODER …]

prints the table of ``docs/skysieve-base.md``: an ENCODER is whatever `engine.encoders.load` knows, a folder of weights of
``skysieve-base``, or ``imagenet:SIZE`` (EfficientNet-Lite0, of the ``bench`` extra).
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict

from engine.data.cutouts import resample_batch
from engine.data.pictures.stretch import Calibration, calibrate
from engine.data.simulation.simulate import generate
from engine.encoders import ENCODERS, Encoder, load
from engine.encoders.convnet import Convnet
from engine.maps.components import standard_components
from engine.training.examples import CALIBRATION_SAMPLE, PICTURES, held_out, read_pictures

#: Seed of the simulated objects of the evaluation; training uses seeds of 1000 and more.
EVALUATION_SEED = 911


def encode(
    encoder: Encoder, pixels: np.ndarray, calibration: Calibration, science: bool, *, batch: int = 128
) -> np.ndarray:
    """Vectors of cutouts in memory, (N, D) float32, at the encoder's own size."""
    pixels = np.concatenate(
        [
            resample_batch(np.asarray(pixels[k : k + batch], np.float32), encoder.size)
            for k in range(0, len(pixels), batch)
        ]
    )
    if encoder.sample:
        encoder.fit(np.asarray(pixels[: encoder.sample], np.float32), calibration, science)
    parts = [
        encoder(encoder.prepare(np.asarray(pixels[k : k + batch], np.float32), calibration, science)).numpy()
        for k in range(0, len(pixels), batch)
    ]
    return np.concatenate(parts)


def probe(components: np.ndarray, truth: np.ndarray, *, seed: int = 0) -> tuple[float, float]:
    """Area under the ROC curve and average precision of a logistic probe, by five-fold cross-validation."""
    model = LogisticRegression(C=0.3, class_weight="balanced", max_iter=500)
    score = cross_val_predict(
        model, components, truth, cv=StratifiedKFold(5, shuffle=True, random_state=seed), method="decision_function"
    )
    return float(roc_auc_score(truth, score)), float(average_precision_score(truth, score))


def few_labels(
    components: np.ndarray, truth: np.ndarray, *, labels: int = 200, draws: int = 10, score: str = "accuracy"
) -> tuple[float, float]:
    """Accuracy, or area under the ROC curve, of a logistic probe on the rest when `labels` objects are labelled: mean
    and sd over random draws, leaving out draws with fewer than two objects of a class.
    """
    found = []
    for seed in range(draws):
        order = np.random.default_rng(seed).permutation(len(truth))
        train, test = order[:labels], order[labels:]
        if min(truth[train].sum(), (~truth[train]).sum()) < 2:
            continue
        balance = None if score == "accuracy" else "balanced"
        model = LogisticRegression(C=0.1, class_weight=balance, max_iter=500).fit(components[train], truth[train])
        if score == "accuracy":
            found.append(model.score(components[test], truth[test]))
        else:
            found.append(roc_auc_score(truth[test], model.decision_function(components[test])))
    return float(np.mean(found)), float(np.std(found))


def purity(components: np.ndarray, truth: np.ndarray, *, k: int = 10) -> float:
    """Share of true objects among the k nearest neighbours of true objects."""
    points = torch.from_numpy(np.ascontiguousarray(components))
    true = np.flatnonzero(truth)
    distance = torch.cdist(points[true], points)
    distance[torch.arange(len(true)), torch.from_numpy(true)] = torch.inf
    return float(truth[distance.topk(k, largest=False).indices.numpy()].mean())


def simulated_sample(count: int = 6000, *, size: int = 64) -> tuple[np.ndarray, Calibration, np.ndarray]:
    """A fresh simulated survey: pixels, calibration, true classes."""
    pixels, table = generate(count, seed=EVALUATION_SEED, size=size)
    calibration = calibrate([np.asarray(p, np.float32) for p in pixels[:CALIBRATION_SAMPLE]])
    return pixels, calibration, table["truth"].to_numpy()


def measure(encoder: Encoder, data: Path) -> dict[str, float]:
    """Every figure of the model card for one encoder."""
    figures = _on_simulation(encoder)
    if (data / "gz2").is_dir():
        figures |= _on_galaxy_zoo(encoder, data / "gz2")
    if (data / "csst_dwarfs").is_dir():
        figures |= _on_dwarfs(encoder, data / "csst_dwarfs")
    return figures


def _on_simulation(encoder: Encoder) -> dict[str, float]:
    pixels, calibration, truth = simulated_sample()
    components = _components(encoder, pixels, calibration, True)
    figures: dict[str, float] = {}
    for name in ("dwarf", "ring", "merger", "lens"):
        auc, precision = probe(components, truth == name)
        figures |= {
            f"simulated {name}: AUC": auc,
            f"simulated {name}: average precision": precision,
            f"simulated {name}: purity of 10 neighbours": purity(components, truth == name),
        }
    return figures


#: Question → column of vote fractions, and the fraction from which the answer is taken to be yes.
QUESTIONS = {
    "merger": ("Class8.6", 0.2),
    "ring": ("Class8.1", 0.2),
    "edge-on": ("Class2.1", 0.5),
    "odd": ("Class6.1", 0.5),
    "featured": ("Class1.2", 0.5),
}


def _on_galaxy_zoo(encoder: Encoder, folder: Path) -> dict[str, float]:
    """Held-out objects alone: five-fold, and from 200 labels."""
    table = pd.read_csv(folder / "catalogue.csv")
    table = table[[held_out(i) for i in table["GalaxyID"]]]
    pixels = read_pictures([folder / "images" / f"{i}.jpg" for i in table["GalaxyID"]], encoder.size)
    components = _components(encoder, pixels, PICTURES, False)
    figures = {}
    for name, (column, least) in QUESTIONS.items():
        truth = (table[column] > least).to_numpy()
        figures[f"gz2 {name}: AUC"] = probe(components, truth)[0]
        figures[f"gz2 {name}: AUC from 200 labels"] = few_labels(components, truth, score="AUC")[0]
    return figures


def _on_dwarfs(encoder: Encoder, folder: Path) -> dict[str, float]:
    """Of all pictures, for an encoder that saw none of them, and of the held-out ones, for any."""
    table = pd.read_csv(folder / "catalogue.csv")
    pixels = read_pictures([folder / "images" / name for name in table["file"]], encoder.size)
    vectors = encode(encoder, pixels, PICTURES, False)
    truth = (table["label"] == "dwarf").to_numpy()
    figures = {}
    for words, kept in (("all", np.ones(len(table), bool)), ("held out", table["file"].map(held_out).to_numpy())):
        components = standard_components(vectors[kept], np.ones(int(kept.sum()), bool), 40)
        for labels in (50, 200, 400):
            mean, _ = few_labels(components, truth[kept], labels=labels)
            figures[f"csst dwarf, {words}: accuracy from {labels} labels"] = mean
    return figures


def _components(encoder: Encoder, pixels: np.ndarray, calibration: Calibration, science: bool) -> np.ndarray:
    vectors = encode(encoder, pixels, calibration, science)
    return standard_components(vectors, np.ones(len(vectors), bool), 40)


def _load(spec: str) -> Encoder:
    if spec.startswith("imagenet:"):
        from engine.training.imagenet import ImageNet

        return ImageNet(size=int(spec.removeprefix("imagenet:")))
    if (Path(spec) / "skysieve-base.safetensors").is_file():
        return Convnet("skysieve-base", assets=Path(spec))
    return load(spec)


def main(data: str, *specs: str) -> None:
    """Print the figures of encoders side by side."""
    found = pd.DataFrame({spec: measure(_load(spec), Path(data)) for spec in specs or ENCODERS})
    sys.stdout.write(found.round(3).to_string() + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])

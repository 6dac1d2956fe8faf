"""Estimates: more objects never cost less, what is known is not paid twice, and the words are plain."""

import itertools
import json
import re

import numpy as np
import pytest

from engine import Survey
from engine.cli import main
from engine.errors import UserError
from engine.maps.layout import METHODS
from engine.maps.layouts import estimates
from engine.maps.layouts.estimates import FIT_ALL, SAMPLE, estimate, estimate_survey

SIZES = [10, 1000, 5000, 9000, 11_000, 100_000, 190_000, 500_000]


@pytest.mark.parametrize("method", METHODS)
def test_rise_with_the_number_of_objects(method):
    found = [estimate(n, 64, method, sample=0) for n in SIZES]
    for few, many in itertools.pairwise(found):
        assert many.bytes >= few.bytes
        # umap takes 500 epochs up to 10,000 objects and 200 above
        assert many.seconds >= few.seconds or (method in ("umap", "densmap"))
    assert found[-1].seconds > found[0].seconds and not found[-1].sampled


def test_what_is_asked_counts():
    plain = estimate(50_000, 64, "umap")
    assert estimate(50_000, 64, "umap", neighbours=60).seconds > plain.seconds
    assert estimate(50_000, 64, "umap", known=True).seconds < plain.seconds
    assert estimate(50_000, 2048, "umap").seconds > plain.seconds
    assert estimate(50_000, 64, "tsne", perplexity=100).bytes > estimate(50_000, 64, "tsne").bytes
    assert estimate(50_000, 64, "pca").seconds < plain.seconds < estimate(50_000, 64, "densmap").seconds
    with pytest.raises(UserError, match="pacmap"):
        estimate(10, 10, "pacmap")


def test_large_surveys_are_sampled_and_memory_is_bounded():
    for method in ("umap", "tsne", "densmap"):
        at, above = estimate(FIT_ALL, 64, method), estimate(10 * FIT_ALL, 64, method)
        assert at.fitted == (SAMPLE if at.sampled else FIT_ALL)
        assert above.sampled and above.fitted == SAMPLE
        assert above.bytes < estimate(10 * FIT_ALL, 64, method, sample=0).bytes
    assert not estimate(10 * FIT_ALL, 64, "pca").sampled


def test_short_memory_is_said_and_avoided(monkeypatch):
    monkeypatch.setattr(estimates, "free_memory", lambda: 1 << 30)
    short = estimate(400_000, 512, "tsne", sample=0)
    assert not short.fits and short.words.endswith("of 1.1 GB free")
    assert estimate(400_000, 512, "tsne").fitted == SAMPLE
    assert estimate(1000, 512, "umap").fits


def test_words_and_speed_of_this_machine():
    found = estimate(100_000, 40, "umap")
    assert re.fullmatch(r"about .+ (s|min|h) · [\d.]+ GB of [\d.]+ GB free", found.words)
    assert all(0.01 < factor < 100 for factor in estimates.speed())
    assert 0 < estimates.free_memory() < 1 << 50


def test_of_a_survey_and_by_command(make_survey, capsys):
    survey = make_survey(3000, vectors=np.random.default_rng(0).normal(size=(3000, 16)))
    first = estimate_survey(survey, "umap")
    survey.layout("umap")
    assert estimate_survey(survey, "umap").seconds <= first.seconds  # the neighbours are kept
    assert estimate_survey(survey, "sky").seconds < first.seconds
    layouts = survey.layouts
    assert main(["layout", str(survey.path), "--method", "tsne", "--perplexity", "50", "--estimate", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["seconds"] > 0 and said["bytes"] > 0 and said["fits"] and "about" in said["words"]
    assert Survey.open(survey.path).layouts == layouts
    assert main(["layout", str(survey.path), "--method", "tsne", "--perplexity", "0.5", "--estimate"]) == 2

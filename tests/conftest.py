"""What many tests share: the real data, if it is there, and one small simulated survey."""

import os
from pathlib import Path

import chromium
import pytest

if (
    "PYTEST_XDIST_WORKER" in os.environ
):  # processes that share the cores would wait for each other at every parallel loop
    os.environ.setdefault("OMP_NUM_THREADS", "1")

#: Real survey data, beside the checkout. Not part of the repository.
SHARED = Path(os.environ.get("SKYSIEVE_DATA", Path(__file__).resolve().parents[1].parent / "shared" / "data"))


def pytest_collection_modifyitems(items):
    """Browser tests last: Playwright's greenlets stay in the process and disturb CPython 3.11's parser (`ast.parse`)."""
    items.sort(key=lambda item: item.get_closest_marker("browser") is not None)


@pytest.fixture(scope="session")
def browser_type_launch_args(browser_type_launch_args):
    """The Chromium that is there, without what a headless machine lacks."""
    path = chromium.find()
    if path is None:
        pytest.skip("no Chromium is installed")
    return {**browser_type_launch_args, "executable_path": path, "args": ["--no-sandbox", "--disable-gpu"]}


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real survey data; the test is skipped where it is not present."""
    if not SHARED.is_dir():
        pytest.skip(f"real survey data is not present at {SHARED} (name it with SKYSIEVE_DATA)")
    return SHARED


@pytest.fixture(scope="session")
def small_survey(tmp_path_factory):
    """A simulated survey of 600 objects with representation, layout and thumbnails; tests must not change it."""
    from engine.data.simulation.simulate import simulate

    survey = simulate(tmp_path_factory.mktemp("survey") / "small.survey", 600, seed=7, dwarf_fraction=0.05)
    survey.embed("pixels")
    survey.layout("pca")
    return survey


@pytest.fixture
def own_survey(small_survey, tmp_path):
    """A copy of the small survey that the test may change."""
    import shutil

    from engine import Survey

    shutil.copytree(small_survey.path, tmp_path / "own.survey")
    return Survey.open(tmp_path / "own.survey")

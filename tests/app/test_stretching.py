"""The stretch's panel: what it sets stays within limits, is the session's, survives an address, becomes the survey's own."""

import numpy as np
import pytest
from galaxies import UNREADABLE, fresh_store, make_survey

from app.pictures.plates import Plates
from app.pictures.stretching import PRESETS, SLIDERS, StretchView, set_stretch
from app.pictures.thumbs import Thumbs
from app.state import State
from app.wording import stretch_in_words
from engine.data.pictures.stretch import DEFAULT, Calibration, Stretch
from engine.data.pictures.thumbnails import draw
from engine.survey import Survey

BANDS = ("g", "r", "z")


@pytest.fixture(scope="module")
def survey(tmp_path_factory):
    return make_survey(tmp_path_factory.mktemp("stretching"))


@pytest.fixture
def store(survey, tmp_path):
    return fresh_store(survey.path, tmp_path)


@pytest.fixture
def view(store):
    state = State(stretch=store.stretch, own_stretch=store.stretch)
    made = StretchView(state, store)
    made.said = []
    made.part.send = lambda kind, **message: made.said.append(kind)
    return made


@pytest.mark.parametrize(
    "changes, expected",
    [
        ({"softness": 1e9, "gain": -4}, Stretch(softness=SLIDERS["softness"][1], gain=SLIDERS["gain"][0])),
        ({"softness": "x", "gain": float("nan"), "invert": "yes", "bin": True, "curve": "cubic"}, DEFAULT),
        ({"invert": True, "unknown": 1, "bin": 4, "curve": "log"}, Stretch(invert=True, bin=4, curve="log")),
        ({"rgb": ["z", "r", "g"]}, Stretch(rgb=("z", "r", "g"))),
        ({"rgb": ["z", "r"]}, DEFAULT),
        ({"rgb": ["z", "r", "q"]}, DEFAULT),
        ({"rgb": [["z"], {}, 3]}, DEFAULT),
        ({"weights": {"g": 2.5, "r": 1.0, "q": 3, "z": 99}}, Stretch(weights=(("g", 2.5), ("z", 4.0)))),
    ],
)
def test_settings_stay_within_their_limits(changes, expected):
    assert set_stretch(DEFAULT, changes, BANDS) == expected


def test_a_slider_sets_the_session_and_waits_for_the_gallery(view):
    view.part._handle_msg({"type": "set", "settings": {"gain": 2.0}})
    assert view.state.stretch == Stretch(gain=2.0) and view.said == []
    view.state.drawn = view.state.stretch  # the gallery
    assert view.said == ["drawn"]
    view.part._handle_msg({"type": "set", "settings": {"gain": 2.0}})  # nothing to draw: it must not wait
    assert view.said == ["drawn", "drawn"]
    assert view.part.settings["gain"] == 2.0 and not view.part.settings["own"]


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("science", [True, False])
def test_a_preset_keeps_the_bands_and_can_be_drawn(name, science, survey):
    own = Stretch(rgb=("g", "r", "z"), weights=(("g", 2.0),))
    stretch = PRESETS[name](own, science)
    assert (stretch.rgb, stretch.weights) == (own.rgb, own.weights)
    assert all(Plates(survey).draw([0, 1], stretch))


def test_the_address_brings_a_stretch_back(view):
    state = view.state
    state.stretch = Stretch(curve="log", rgb=("z", "r", "g"))
    assert state.stretch_text == "curve=log,rgb=z r g"
    other = State(own_stretch=Stretch(gain=2.0), stretch=Stretch(gain=2.0))
    other.stretch_text = state.stretch_text
    assert other.stretch == state.stretch
    other.stretch = DEFAULT  # which is not this survey's own
    other.stretch_text = State(stretch_text=other.stretch_text).stretch_text
    assert other.stretch == DEFAULT and other.stretch_text
    other.stretch_text = ""
    assert other.stretch == other.own_stretch
    other.stretch_text = "curve=cubic"
    assert other.stretch == other.own_stretch and other.notice[0] == "error" and other.stretch_text == ""


def test_a_change_is_one_change(view):
    seen = []
    view.state.param.watch(lambda *_: seen.append(1), ["stretch", "own_stretch"])
    view.part._handle_msg({"type": "set", "settings": {"gain": 2.0, "smooth": 1.5}})
    assert len(seen) == 1


def test_saving_types_the_command(view):
    started = []
    view.store.jobs.start = lambda title, *words: started.append(words)
    view.state.stretch = Stretch(curve="log", smooth=1.5)
    view.part._handle_msg({"type": "save"})
    view.state.stretch = DEFAULT
    view.part._handle_msg({"type": "save"})
    assert started == [("stretch", "--reset", "--set", "curve=log,smooth=1.5"), ("stretch", "--reset")]


def test_words_name_what_differs():
    assert stretch_in_words(Stretch(curve="log", smooth=1.5, invert=True), DEFAULT) == "log · smooth 1.5 px · negative"
    assert stretch_in_words(Stretch(percent=99.0), DEFAULT) == "other"
    assert stretch_in_words(Stretch(limits="percentile", percent=99.0), DEFAULT) == "percentile · 99 %"


# -- plates -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["", "gain=2", "limits=zscale", "limits=percentile,percent=98", "smooth=1.5,bin=2"])
def test_plates_equal_drawing_from_the_pixels(survey, text):
    rows, stretch = list(range(30)), Stretch.from_text(text)
    plates = Plates(survey)
    slow = draw(
        survey.cutouts.read(np.array(rows)),
        Calibration.of(survey.header["pixels"], 3),
        science=True,
        stretch=stretch,
        bands=survey.bands,
    )
    assert plates.draw(rows, stretch) == slow == plates.draw(rows, stretch)
    assert slow[UNREADABLE] == b""
    assert plates.draw([7, 3, 7], stretch) == [slow[7], slow[3], slow[7]] and plates.draw([], stretch) == []


def test_plates_forget_what_was_used_longest_ago(survey, monkeypatch):
    plates = Plates(survey)
    plates.draw([0], DEFAULT)
    one = plates._bytes
    monkeypatch.setattr("app.pictures.plates.BYTES", 10 * one)
    plates.draw(range(40, 70), DEFAULT)
    assert plates._bytes == sum(p.pixels.nbytes for p in plates._plates.values()) <= 10 * one
    assert 0 not in plates._plates and 69 in plates._plates


@pytest.mark.parametrize("section", [{"curve": "cubic"}, {"rgb": ["q"]}])
def test_a_header_that_makes_no_sense_shows_the_default(store, section):
    store.survey.store_header("stretch", section)
    thumbs = Thumbs(store.survey)
    assert thumbs.stretch == DEFAULT and thumbs.read([0]) == store.survey.thumbnails.read([0])


def test_another_own_stretch_is_drawn_until_the_thumbnails_follow(store):
    thumbs = Thumbs(store.survey)
    stored = thumbs.read([0, 1])
    assert stored == store.survey.thumbnails.read([0, 1])
    Survey.open(store.survey.path).store_header("stretch", Stretch(curve="log").header())
    thumbs.reopen()
    assert thumbs.stretch == Stretch(curve="log")
    assert thumbs.read([0, 1]) == Plates(store.survey).draw([0, 1], Stretch(curve="log")) != stored

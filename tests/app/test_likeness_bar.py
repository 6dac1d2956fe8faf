"""The controls of the search by likeness: what a session asks for, and what the gallery then lists."""

import io

import numpy as np
import pytest
from galaxies import COUNT, UNREADABLE, fresh_store, make_survey
from PIL import Image

from app.frames import pack, unpack
from app.gallery import tabs
from app.gallery.view import GalleryView
from app.hunt.asking import Asking
from app.hunt.likeness import MOST, LikenessView
from app.selections.selecting import Selecting
from app.state import State
from engine.search.similar import similar


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_survey(tmp_path_factory.mktemp("likeness")).path


class Page:
    """A session's gallery and controls."""

    def __init__(self, store, **state):
        self.state = State(target="dwarf", user="me", **state)
        self.gallery = GalleryView(self.state, store)
        self.view = LikenessView(self.state, store, Selecting(self.state, store))
        self.said = []
        self.view.bar.send = lambda kind, **message: self.said.append(message)

    def says(self, kind, **message):
        self.view.bar._handle_msg({"type": kind, **message})

    @property
    def shown(self) -> dict:
        return unpack(self.view.bar.frame)[0]

    @property
    def listed(self) -> np.ndarray:
        return self.gallery._listed.listing.rows


@pytest.fixture
def store(folder, tmp_path):
    return fresh_store(folder, tmp_path)


@pytest.fixture
def page(store):
    return Page(store, tab="similar")


def test_without_a_query_it_says_what_to_do(page):
    assert page.gallery._listed.title == "More like what?" and page.shown["chips"] == []
    page.state.cursor = 9
    page.says("less")
    assert "only objects to be unlike" in page.gallery._listed.advice


def test_more_and_less_change_the_list_as_the_engine_says(page, store):
    page.state.cursor = 20
    page.says("more")
    assert page.listed.tolist() == similar(store.survey, [20], top=200)[0].tolist()
    page.says("more", row=30)
    page.says("less", row=40)
    assert page.listed.tolist() == similar(store.survey, [20, 30], unlike=[40], top=200)[0].tolist()
    assert [(c["row"], c["kind"]) for c in page.shown["chips"]] == [(20, "like"), (30, "like"), (40, "unlike")]
    assert unpack(page.view.bar.frame)[1] == store.thumbnails([20, 30, 40])
    page.says("less", row=30)  # it changes sides
    assert page.listed.tolist() == similar(store.survey, [20], unlike=[40, 30], top=200)[0].tolist()
    page.says("drop", row=40)
    assert [(c["row"], c["kind"]) for c in page.shown["chips"]] == [(20, "like"), (30, "unlike")]
    page.says("clear")
    assert page.shown["chips"] == [] and len(page.listed) == 0


def test_another_tab_is_left_as_it_is_and_told(store):
    page = Page(store, tab="selection", selection=np.arange(50))
    before = page.gallery.grid.frame
    page.state.cursor = 7
    page.says("more")
    assert page.gallery.grid.frame == before and "1 to be like" in page.state.notice[1]
    page.state.tab = "similar"
    assert page.listed.tolist() == similar(store.survey, [7], top=200)[0].tolist()


def test_s_begins_anew(page, store):
    page.says("more", row=20)
    page.says("less", row=21)
    page.gallery.grid._handle_msg({"type": "similar", "row": 20})
    assert page.state.asking.query.like.tolist() == [20] and len(page.state.asking.query.unlike) == 0


def test_options_narrow_the_list(page, store):
    page.says("more", row=20)
    whole = similar(store.survey, [20], top=COUNT)[0]
    mag = np.asarray(store.survey.column("mag"))
    page.says("option", name="condition", value="mag < 100")
    assert page.listed.tolist() == whole[mag[whole] < 100].tolist()
    page.says("option", name="condition", value="nothing > 3")
    assert "nothing" in page.gallery._listed.title
    page.says("option", name="condition", value="")
    page.state.selection = np.arange(60)
    page.says("option", name="selected", value=True)
    assert page.listed.tolist() == whole[whole < 60].tolist()
    page.state.selection = np.arange(20, 21)
    assert "left" in page.gallery._listed.title
    page.says("option", name="selected", value=False)
    page.says("option", name="top", value=50)
    page.says("option", name="features", value="vectors")
    assert page.listed.tolist() == similar(store.survey, [20], top=50, features="vectors")[0].tolist()
    page.says("option", name="apart", value=True)
    assert page.state.asking.separation == 5
    asking = page.state.asking
    for name, value in (("top", 7), ("features", "x"), ("separation", "a"), ("selected", 1), ("nothing", 1)):
        page.says("option", name=name, value=value)
    assert page.state.asking == asking or vars(page.state.asking).keys() == vars(asking).keys()
    assert page.state.asking.set("top", 7).top == 50


def test_a_place_takes_the_nearest_object(page, store):
    ra, dec = (store.survey.column(name)[11] for name in ("ra", "dec"))
    page.says("near", text=f"{ra:.7f} {dec:.7f}")
    assert page.state.asking.query.like.tolist() == [11] and "g0011, 0.0" in page.shown["said"]["text"]
    page.says("near", text="somewhere")
    assert page.said[-1]["tone"] == "error" and "no place" in page.said[-1]["text"]
    page.says("near", text='0 90 0.001"')
    assert "no object lies within" in page.said[-1]["text"]


def test_what_is_listed_becomes_the_selection_and_says_how(page, store):
    page.says("more", row=20)
    page.says("select")
    assert page.state.selection.tolist() == np.sort(similar(store.survey, [20], top=200)[0]).tolist()
    assert page.state.selection_how["kind"] == "similar" and "like g0020" in page.state.selection_how["words"]


def picture() -> bytes:
    stream = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (24, 24, 3), np.uint8)).save(stream, "PNG")
    return stream.getvalue()


def test_a_file_that_cannot_be_used_says_why(page):
    page.view.bar.upload = pack({"name": "notes.txt", "number": 1}, [b"just words"])
    assert page.said[-1]["tone"] == "error" and "neither a picture nor FITS" in page.said[-1]["text"]
    page.view.bar.upload = pack({"name": "../../a.png", "number": 2}, [picture()])  # vectors that came from elsewhere
    assert "no encoder" in page.said[-1]["text"]
    page.view.bar.upload = b"\x01\x02"
    assert "whole" in page.said[-1]["text"]
    assert page.state.asking.query.examples == ()


def test_a_picture_finds_its_own_object_first_and_can_be_dropped(own_survey, tmp_path):
    """Of a survey with an encoder: the file is the cutout itself."""
    from astropy.io import fits

    from app.store import Store

    store = Store(own_survey.path)
    page = Page(store, tab="similar")
    cutout = own_survey.cutouts.read([17])[0]
    bands = fits.HDUList([fits.PrimaryHDU(), *(fits.ImageHDU(b, name=n) for b, n in zip(cutout, own_survey.bands))])
    bands.writeto(tmp_path / "one.fits")
    page.view.bar.upload = pack({"name": "one.fits", "number": 1}, [(tmp_path / "one.fits").read_bytes()])
    assert page.listed[0] == 17
    (chip,) = page.shown["chips"]
    assert (chip["kind"], chip["name"], chip["row"]) == ("example", "one.fits", -1)
    page.state.region = (17, 8, 8, 40, 40)
    assert [c["row"] for c in page.shown["chips"]] == [-1, 17] and 17 not in page.listed
    page.state.region = (17, 8, 8, 9, 9)
    assert "too small" in page.said[-1]["text"]
    page.says("forget", number=0)
    assert [c["row"] for c in page.shown["chips"]] == [17]


@pytest.mark.parametrize(
    "message",
    [
        {"type": "more", "row": -1},
        {"type": "more", "row": COUNT},
        {"type": "drop", "row": "x"},
        {"type": "forget", "number": 5},
        {"type": "forget"},
        {"type": "option"},
        {"type": "near"},
        {"type": "select"},
        {"type": "cursor", "row": 10**9},
        {"type": "nonsense"},
    ],
)
def test_odd_messages_do_no_harm(page, message):
    page.state.cursor = -1
    page.view.bar._handle_msg(message)
    assert not page.state.asking.query


def test_a_query_has_an_end(page):
    page.state.asking = Asking().beginning(np.arange(MOST))
    page.says("more", row=MOST + 1)
    assert len(page.state.asking.query.like) == MOST and "at most" in page.state.notice[1]


def test_an_object_without_a_vector_is_told(page):
    page.says("more", row=UNREADABLE)
    assert "could be read" in page.gallery._listed.title


def test_scores_are_written_on_the_tiles(page, store):
    page.says("more", row=20)
    rows, score = similar(store.survey, [20], top=5)
    texts, _ = tabs.numbers(store, page.gallery.wanted(), page.gallery._listed, rows, labelled=0)
    assert texts == [f"{s:.2f}" for s in score]

"""The dialog for the map of galaxies: what it asks of the command, what it says while it runs and when it has ended."""

from dataclasses import replace

import pytest
from PIL import Image

from app.jobs import Job
from app.share.printing import PictureDialog
from app.state import State
from app.store import Store
from engine.cli import main
from engine.data.pictures.stretch import Stretch

# the download button of Panel's own warns of what its own constructor passes
pytestmark = pytest.mark.filterwarnings("ignore:Both 'variant' and 'button_style'")


class Listed:
    """Jobs that are only listed: what would be run, by number."""

    def __init__(self, survey):
        self.survey, self.jobs = survey, []

    def start(self, title, command, *options):
        self.jobs.append(Job(len(self.jobs) + 1, title, (command, str(self.survey), *options)))
        return self.jobs[-1]

    def all(self):
        return self.jobs[::-1]

    def set(self, **changes):
        self.jobs[-1] = replace(self.jobs[-1], **changes)


@pytest.fixture
def dialog(own_survey):
    store = Store(own_survey.path)
    store.jobs = Listed(own_survey.path)
    return PictureDialog(State(layout=own_survey.layouts[0]), store)


def said(dialog) -> str:
    return dialog._said.object


def test_what_it_asks_for_is_a_command_that_works(dialog):
    dialog.open()
    dialog._size.value, dialog._cell.value = 2000, 192
    dialog._arrange.value, dialog._ground.value, dialog._density.value = "true", "white", True
    dialog.state.stretch = Stretch.from_text("invert=yes,smooth=2", base=dialog.state.own_stretch)
    dialog._name.value = "my map/../x"
    dialog._start()
    job = dialog.store.jobs.jobs[-1]
    assert main([*job.arguments, "--progress", "none"]) == 0
    written = list((dialog.store.survey.path / "exports").glob("*.png"))
    assert len(written) == 1  # the name leads out of no folder
    with Image.open(written[0]) as opened:
        assert opened.size[0] == 2000 and opened.getpixel((0, 0)) == (255, 255, 255)
        assert "invert=yes" in opened.info["Stretch"] and "smooth=2" in opened.info["Stretch"]
    dialog.store.jobs.set(state="done", seconds=2.0)
    dialog.heard("jobs")
    assert written[0].name in said(dialog) and not dialog._download.disabled
    with dialog._file() as stream:
        assert stream.read(4) == b"\x89PNG"


def test_it_says_how_far_it_is_and_what_went_wrong(dialog):
    dialog.open()
    dialog._start()
    dialog.store.jobs.set(state="running", stage="drawing", done=3, total=10)
    dialog.heard("jobs")
    assert "drawing" in said(dialog) and "3 of 10" in said(dialog) and dialog._download.disabled
    dialog.store.jobs.set(state="failed", message="the disk is full: make room.")
    dialog.heard("jobs")
    assert "the disk is full" in said(dialog) and dialog._download.disabled
    dialog._start()
    dialog.store.jobs.set(state="cancelled")
    dialog.heard("jobs")
    assert "nothing was written" in said(dialog)


def test_a_picture_never_replaces_an_earlier_one(dialog):
    folder = dialog.store.survey.path / "exports"
    folder.mkdir(exist_ok=True)
    dialog.open()
    (folder / f"{dialog._name.value}.png").write_bytes(b"earlier")
    dialog._start()
    assert dialog.store.jobs.jobs[-1].arguments[5].endswith("-2.png")


def test_without_a_layout_it_says_so(own_survey):
    import shutil

    shutil.rmtree(own_survey.path / "layouts")
    dialog = PictureDialog(State(), Store(own_survey.path))
    dialog.open()
    assert dialog._write.disabled and "no layout" in said(dialog)


def test_the_layout_on_the_map_is_the_one_offered(own_survey):
    own_survey.layout("columns", columns=("ra", "dec"))
    for name in own_survey.layouts:
        dialog = PictureDialog(State(layout=name), Store(own_survey.path))
        dialog.open()
        assert dialog._layout.value == name and len(dialog._layout.options) == 2

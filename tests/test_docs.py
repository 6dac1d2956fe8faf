"""The documentation tells the truth: its Python runs, its commands exist, its links lead somewhere."""

import re
from pathlib import Path

import numpy as np
import pytest
from astropy.table import Table
from PIL import Image

from engine.cli import _parser

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
IDS = [*(f"id{k}" for k in range(1, 40)), "ID1", "ID2"]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working folder with what the examples take for granted: ``cutouts/`` and ``cat.fits``."""
    from engine.data.pictures.stretch import calibrate, to_rgb
    from engine.data.simulation.simulate import generate

    pixels, _ = generate(len(IDS), seed=3)
    pixels = np.asarray(pixels, np.float32)
    (tmp_path / "cutouts").mkdir()
    for name, picture in zip(IDS, to_rgb(pixels, calibrate(list(pixels)), science=True)):
        Image.fromarray(picture).save(tmp_path / "cutouts" / f"{name}.png")
    ra = np.linspace(10, 11, len(IDS))
    Table({"objid": IDS, "ra": ra, "dec": ra - 20, "mag_r": ra + 10}).write(tmp_path / "cat.fits")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def blocks(page: Path, language: str) -> list[str]:
    """Fenced blocks of one language."""
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


def test_python_blocks_run(folder):
    from engine import Survey

    api = "\n".join(blocks(ROOT / "docs" / "api.md", "python"))
    names: dict = {}
    exec(api, names)
    assert len(names["s"]) == len(IDS) and len(names["hunt"].suggest(10)) == 10
    assert Table.read("dwarfs.fits").colnames[:3] == ["id", "ra", "dec"]
    (folder / "dwarfs.fits").unlink()
    for block in blocks(ROOT / "README.md", "python"):
        exec(block, names)
    assert (folder / "dwarfs.fits").exists()
    assert set(Survey.open("my.survey").labels.targets()) == {"dwarf"}


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_commands_exist_and_links_lead_somewhere(page):
    text = page.read_text(encoding="utf-8")
    commands = _parser()._subparsers._group_actions[0].choices
    for name, options in re.findall(r"python -m engine ([a-z]+)([^`\n|]*)", text):
        assert name in commands, name
        for option in re.findall(r"(--[a-z-]+)", options.split("#")[0]):
            assert option in commands[name]._option_string_actions, f"{name} {option}"
    for target in re.findall(r"\]\(((?!https?:)[^)#]+)\)", text):
        assert (page.parent / target).exists(), target


def test_every_command_is_documented():
    text = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
    for name in _parser()._subparsers._group_actions[0].choices:
        assert f"`{name}" in text

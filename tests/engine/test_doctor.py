"""Each fault a survey folder can have is found, and a sound one has none."""

import os
import sqlite3

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from PIL import Image

from engine import files
from engine.data.pictures.thumbnails import Thumbnails
from engine.doctor import ERROR, WARNING, diagnose
from engine.survey import FORMAT, HEADER, OBJECTS, Survey

N = 6
COLUMNS = ["id", "ra", "dec", "pixels_file"]


@pytest.fixture
def survey(tmp_path):
    root = tmp_path / "pixels"
    root.mkdir()
    for k in range(N):
        Image.fromarray(np.full((8, 8, 3), k, np.uint8)).save(root / f"{k}.png")
    objects = pd.DataFrame(
        {"id": [str(k) for k in range(N)], "ra": 0.0, "dec": 0.0, "pixels_file": [f"{k}.png" for k in range(N)]}
    )
    made = Survey.create(
        tmp_path / "a.survey",
        objects,
        pixels={"kind": "images", "root": str(root), "bands": ["R", "G", "B"], "science": False},
    )
    folder = made.path / "representations" / "x"
    files.write_npy(folder / "vectors.npy", np.ones((N, 4), np.float16))
    files.write_npy(folder / "valid.npy", np.ones(N, bool))
    files.write_json(folder / "meta.json", {})
    files.write_npy(made.path / "layouts" / "umap" / "xy.npy", np.zeros((N, 2), np.float32))
    files.write_json(made.path / "layouts" / "umap" / "meta.json", {})
    made.store_score("p", np.zeros(N))
    Thumbnails(made.path / "thumbnails", N).write(0, [b"x"] * N)
    with sqlite3.connect(made.path / "labels.sqlite") as log:
        log.execute("create table events (x)")
        log.executemany("insert into events values (?)", [(str(k) * 500,) for k in range(100)])
    log.close()
    return made


def contents(folder):
    return {p: (p.stat().st_mtime_ns, p.read_bytes()) for p in sorted(folder.rglob("*")) if p.is_file()}


def test_a_sound_survey_has_no_fault_and_is_not_changed(survey):
    before = contents(survey.path)
    assert diagnose(survey.path) == []
    assert contents(survey.path) == before


def header(path, text):
    (path / HEADER).write_text(text)


def vectors(path, values):
    files.write_npy(path / "representations" / "x" / "vectors.npy", values)


def kept_badly(path, text):
    (path / "selections").mkdir(exist_ok=True)
    np.save(path / "selections" / "bad.npy", np.array([99]))
    (path / "selections" / "bad.json").write_text(text)


def spoil_labels(path):
    with open(path / "labels.sqlite", "r+b") as stream:
        stream.seek(4096)
        stream.write(os.urandom(8000))


FAULTS = {
    "header missing": (lambda p: (p / HEADER).unlink(), "not a survey", HEADER[:0], ERROR),
    "header damaged": (lambda p: header(p, "x ="), "cannot be read", HEADER, ERROR),
    "no format": (lambda p: header(p, "name = 'x'"), "no format", HEADER, ERROR),
    "newer": (lambda p: header(p, f"format = {FORMAT + 1}\n"), "newer than this program", HEADER, ERROR),
    "no pixels": (lambda p: header(p, f"format = {FORMAT}\nname = 'x'"), "lacks kind, root", HEADER, ERROR),
    "table missing": (lambda p: (p / OBJECTS).unlink(), "missing", OBJECTS, ERROR),
    "table damaged": (lambda p: (p / OBJECTS).write_bytes(b"PAR1xxxxPAR1"), "damaged", OBJECTS, ERROR),
    "rows lost": (
        lambda p: files.write_parquet(p / OBJECTS, Survey.open(p).arrow(COLUMNS)[:-1]),
        "states 6 objects, the table has 5",
        OBJECTS,
        ERROR,
    ),
    "ids repeat": (
        lambda p: files.write_parquet(
            p / OBJECTS, pa.table({"id": ["a"] * N, "ra": [0.0] * N, "dec": [0.0] * N, "pixels_file": ["0.png"] * N})
        ),
        "5 ids repeat",
        OBJECTS,
        ERROR,
    ),
    "vectors short": (lambda p: vectors(p, np.ones((3, 4))), "is 3×4 where 6×any", "vectors.npy", ERROR),
    "vectors damaged": (
        lambda p: (p / "representations/x/vectors.npy").write_bytes(b"x"),
        "damaged",
        "vectors.npy",
        ERROR,
    ),
    "vectors nan": (
        lambda p: vectors(p, np.where(np.eye(N, 4) == 1, np.nan, 0)),
        "4 vectors hold NaN",
        "vectors.npy",
        ERROR,
    ),
    "valid missing": (lambda p: (p / "representations/x/valid.npy").unlink(), "missing", "valid.npy", ERROR),
    "unfinished": (lambda p: (p / "representations/x/meta.json").unlink(), "not finished", "x", WARNING),
    "meta damaged": (lambda p: (p / "layouts/umap/meta.json").write_text("{"), "meta.json is damaged", "umap", ERROR),
    "layout short": (
        lambda p: files.write_npy(p / "layouts/umap/xy.npy", np.zeros((2, 2))),
        "2×2 where 6×2",
        "xy.npy",
        ERROR,
    ),
    "score short": (lambda p: files.write_npy(p / "scores/q.npy", np.zeros(2)), "is 2 where 6", "q.npy", ERROR),
    "selection damaged": (
        lambda p: kept_badly(p, "{"),
        "'bad' cannot be read",
        "bad.json",
        ERROR,
    ),
    "selection of another survey": (
        lambda p: kept_badly(p, '{"name": "bad", "count": 1, "rows": "bad.npy", "how": {}, "created": ""}'),
        "not in this survey",
        "bad.json",
        ERROR,
    ),
    "thumbnails short": (
        lambda p: Thumbnails(p / "thumbnails", N).write(0, [b"x"]),
        "1 thumbnails instead of 6",
        "thumbs",
        ERROR,
    ),
    "thumbnails cut": (lambda p: (p / "thumbnails/000000.thumbs").write_bytes(b"SKYTHUMB"), "damaged", "thumbs", ERROR),
    "thumbnails gone": (lambda p: (p / "thumbnails/000000.thumbs").unlink(), "1 of 1 shards", "thumbnails", WARNING),
    "too many shards": (lambda p: (p / "thumbnails/000001.thumbs").touch(), "more objects than 6", "thumbs", ERROR),
    "pixels gone": (lambda p: (p.parent / "pixels").rename(p.parent / "moved"), "pixels are gone", HEADER, ERROR),
    "some pixels gone": (lambda p: (p.parent / "pixels/3.png").unlink(), "1 of 6 files", "pixels", WARNING),
    "no such curve": (
        lambda p: Survey.open(p).store_header("stretch", {"curve": "cubic"}),
        "curve of a stretch",
        HEADER,
        ERROR,
    ),
    "no such band": (lambda p: Survey.open(p).store_header("stretch", {"rgb": ["q"]}), "no band 'q'", HEADER, ERROR),
    "another stretch": (
        lambda p: Survey.open(p).store_header("stretch", {"gain": 2.0}),
        "another stretch",
        HEADER,
        WARNING,
    ),
    "leftover": (lambda p: (p / ".objects.parquet.abc.partial").touch(), "interrupted write", "partial", WARNING),
    "leftover beside": (
        lambda p: (p.parent / ".a.survey.abc.partial").mkdir(),
        "interrupted write",
        "partial",
        WARNING,
    ),
    "labels damaged": (spoil_labels, "label log is damaged", "labels.sqlite", ERROR),
    "no database": (
        lambda p: (p / "labels.sqlite").write_bytes(b"x" * 5000),
        "label log is damaged",
        "labels.sqlite",
        ERROR,
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_each_fault_is_found_with_its_remedy(survey, name):
    spoil, what, where, severity = FAULTS[name]
    spoil(survey.path)
    before = contents(survey.path)
    found = [f for f in diagnose(survey.path) if what in f.what]
    assert found and where in found[0].where and found[0].severity == severity and found[0].remedy
    assert contents(survey.path) == before


def test_references_that_lead_outside_are_told(survey):
    table = Survey.open(survey.path).table(columns=["id", "ra", "dec", "pixels_file"])
    table.loc[2, "pixels_file"] = "../secret.png"
    files.write_parquet(survey.path / OBJECTS, pa.Table.from_pandas(table, preserve_index=False))
    assert any("lead outside" in f.what for f in diagnose(survey.path))


def test_a_log_with_a_journal_left_by_a_crash_is_examined_without_touching_it(survey):
    path = survey.path / "labels.sqlite"
    log = sqlite3.connect(path)
    log.execute("pragma journal_mode=wal")
    log.execute("insert into events values ('new')")
    log.commit()
    left = (path.read_bytes(), (survey.path / "labels.sqlite-wal").read_bytes())
    assert diagnose(survey.path) == []  # an app has it open
    log.close()
    (survey.path / "labels.sqlite-wal").write_bytes(left[1])
    path.write_bytes(left[0])
    before = contents(survey.path)
    assert diagnose(survey.path) == [] and contents(survey.path) == before


def test_no_folder(tmp_path):
    assert [f.what for f in diagnose(tmp_path / "none")] == ["there is no such folder"]


def test_labels_of_objects_that_were_removed_or_moved_are_told(make_survey):
    survey = make_survey(20)
    survey.labels.add([3, 4], "dwarf", "yes", ids=["o3", "o4"], user="me")
    survey.labels.close()
    assert not [f for f in diagnose(survey.path) if "labelled" in f.what]
    survey.labels.add([5, 25], "dwarf", "no", ids=["o6", "o25"], user="me")
    survey.labels.close()
    assert [f.what for f in diagnose(survey.path) if "labelled" in f.what] == [
        "2 labelled objects are not where the label log has them"
    ]

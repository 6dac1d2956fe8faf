"""The page on representations: commands it makes and refuses, how a training stands, what the browser gets."""

import json
import shlex
import sys
import time

import numpy as np
import pytest
from galaxies import COUNT, UNREADABLE, make_survey
from test_runs import make_run

from app.frames import unpack
from app.jobs import Job
from app.state import State
from app.store import Store
from app.training import commands
from app.training.comparing import Comparison
from app.training.runs import Run
from app.training.view import TrainingView, listed, offered, shown, status, typed
from engine import UserError, files
from engine.cli import _arguments


@pytest.fixture(scope="module")
def survey(tmp_path_factory):
    survey = make_survey(tmp_path_factory.mktemp("survey"))
    rng = np.random.default_rng(5)
    rings = survey.representation("rings").vectors
    folder = survey.path / "representations" / "noise"
    files.write_npy(folder / "vectors.npy", rng.normal(size=rings.shape).astype(np.float32))
    files.write_npy(folder / "valid.npy", np.arange(COUNT) != UNREADABLE)
    files.write_json(folder / "meta.json", {"encoder": "noise"})
    return survey


@pytest.fixture
def store(survey, tmp_path, monkeypatch):
    """A store whose jobs do nothing but note that they were started."""
    found = Store(survey.path)
    (tmp_path / "program.py").write_text("import time; time.sleep(60)")
    found.jobs.program = (sys.executable, str(tmp_path / "program.py"))
    yield found
    found.jobs.stop()


def line(draft, store):
    """Parse a draft as the command line would."""
    given = shlex.split(draft.typed(store.survey.path).splitlines()[0])
    assert given[:3] == ["python", "-m", "engine"]
    return _arguments(given[3:])


TRAIN = {"name": "my-run", "method": "simmim", "unit": "minutes", "length": "10", "size": "64"}


def test_a_training_is_what_a_person_would_type(store):
    args = line(commands.draft(store, "train", {**TRAIN, "batch": "32", "seed": "0", "backbone": "vit-tiny"}), store)
    assert args.command == "train" and args.survey == store.survey.path
    assert (args.method, args.name, args.minutes, args.size) == ("simmim", "my-run", 10.0, 64)
    assert (args.batch, args.seed, args.backbone) == (32, 0, "vit-tiny") and args.steps is None
    assert line(commands.draft(store, "train", {**TRAIN, "unit": "steps", "length": "500"}), store).steps == 500


@pytest.mark.parametrize(
    "wrong, said",
    [
        ({"name": ""}, "no name"),
        ({"name": "../x"}, "cannot be used as a name"),
        ({"method": "magic"}, "no training method"),
        ({"length": "ten"}, "number of minutes"),
        ({"length": "0"}, "number of minutes"),
        ({"length": "nan"}, "number of minutes"),
        ({"unit": "steps", "length": "1.5"}, "number of steps"),
        ({"size": "small"}, "size"),
        ({"backbone": "vit-tiny", "size": "63"}, "63"),
        ({"batch": "-1"}, "batch"),
        ({"device": "abacus"}, "abacus"),
        ({"method": "votes", "targets": []}, "no column"),
    ],
)
def test_what_would_not_start_is_refused_with_the_remedy(store, wrong, said):
    with pytest.raises(UserError, match=said) as refused:
        commands.draft(store, "train", {**TRAIN, **wrong})
    assert refused.value.remedy


def test_a_name_is_taken_by_a_folder_or_a_job(store):
    commands.draft(store, "train", TRAIN).start(store)
    with pytest.raises(UserError, match="already"):
        commands.draft(store, "train", TRAIN)


def test_votes_take_the_columns_that_are_ticked_or_all(store):
    args = line(commands.draft(store, "train", {**TRAIN, "method": "votes", "targets": ["kind"]}), store)
    assert args.targets == ["kind"]
    assert line(commands.draft(store, "train", {**TRAIN, "method": "votes", "targets": "all"}), store).targets == []
    assert commands.questions(store) == {"kind": ["kind"]}


def test_fine_tuning_needs_labels_of_two_kinds(store):
    fields = {"name": "tuned", "target": "odd one", "encoder": "skysieve-base", "epochs": ""}
    with pytest.raises(UserError, match="no labels"):
        commands.draft(store, "finetune", fields)
    store.survey.labels.add(np.arange(12), "odd one", "yes", ids=store.ids(np.arange(12)), user="t")
    with pytest.raises(UserError, match="too few"):
        commands.draft(store, "finetune", fields)
    store.survey.labels.add(np.arange(12, 20), "odd one", "no", ids=store.ids(np.arange(12, 20)), user="t")
    args = line(commands.draft(store, "finetune", fields), store)
    assert (args.target, args.encoder, args.name) == ("odd one", "skysieve-base", "tuned")
    commands.draft(store, "train", {**TRAIN, "name": "tuned"}).start(store)
    with pytest.raises(UserError, match="already"):
        commands.draft(store, "finetune", fields)
    fields = {**fields, "name": "tuned-2"}
    with pytest.raises(UserError, match="pixels"):
        commands.draft(store, "finetune", {**fields, "encoder": "pixels"})


def test_embedding_and_the_map_behind_it(store):
    draft = commands.draft(store, "embed", {"encoder": "pixels", "name": "px", "map": True})
    args = line(draft, store)
    assert args.command == "embed" and args.encoder == "pixels" and args.name == "px"
    after = _arguments(shlex.split(draft.typed(store.survey.path).splitlines()[1])[3:])
    assert after.command == "layout" and after.representation == "px"
    draft.start(store)
    assert [job.arguments[0] for job in store.jobs.all()] == ["layout", "embed"]
    other = commands.draft(store, "embed", {"encoder": "other", "other": "hf:some/model"})
    assert line(other, store).encoder == "hf:some/model" and line(other, store).name == "model"
    for encoder in ("nothing", ""):
        with pytest.raises(UserError, match="no encoder"):
            commands.draft(store, "embed", {"encoder": encoder})


# -- how it stands -----------------------------------------------------------------------------------------------------


def job(name, state, number=1, **more):
    return Job(number, "Training", ("train", "a.survey", "--method", "byol", "--name", name), state=state, **more)


def test_how_a_training_stands(tmp_path):
    make_run(tmp_path / "a")
    make_run(tmp_path / "done", card={"dimension": 64})
    run, done = Run(tmp_path / "a"), Run(tmp_path / "done")
    run.look(), done.look()
    assert status(done, None, None)["state"] == "finished"
    assert status(run, job("a", "running"), 1) == {"state": "running", "words": "starting …", "job": 1}
    assert status(run, job("a", "waiting"), None)["state"] == "waiting"
    assert status(run, job("a", "cancelled"), 1)["state"] == "stopping"
    assert status(run, job("a", "cancelled"), None) == {"state": "interrupted", "words": "", "job": None}
    assert status(run, job("a", "failed", message="no space: free some."), None)["words"] == "no space: free some."
    assert status(run, None, None)["state"] == "elsewhere"
    run.touched = run._stamps["settings.json"] = time.time() - 1000
    assert status(run, None, None)["state"] == "interrupted"


def test_only_what_changed_is_sent(tmp_path):
    for name in "ab":
        make_run(tmp_path / name)
    runs = [Run(tmp_path / name) for name in "ab"]
    for run in runs:
        run.look()
    jobs = [job("c", "waiting", 2), job("a", "running", 1), job("a", "failed", 0)]
    jobs.append(Job(9, "Map", ("layout", "a.survey"), state="running", stage="umap"))
    jobs.append(Job(10, "Vectors", ("embed", "a.survey", "--encoder", "b"), state="waiting"))
    found = listed(runs, jobs, {"a": runs[0].version, "b": -1}, {"b"})
    assert found["names"] == ["c", "a", "b"] and list(found["runs"]) == ["b"] and found["embedded"] == ["b"]
    assert [job["title"] for job in found["jobs"]] == ["Map", "Vectors"] and "b" in found["embedding"]
    assert found["status"]["a"]["state"] == "running", "the newest job of a name counts"
    assert found["status"]["c"]["state"] == "waiting" and found["status"]["c"]["job"] == 2
    stopping = listed(runs, [job("a", "cancelled", 7)], {}, set(), current=7)
    assert stopping["status"]["a"]["state"] == "stopping" and stopping["status"]["b"]["state"] == "elsewhere"
    json.dumps({k: v for k, v in shown(runs[0]).items() if k != "curve"})


def test_a_kept_command_is_run_again_on_this_survey():
    kept = "python -m engine train '/else where/x.survey' --method vae --name 'my run' --json"
    assert typed(kept) == ("train", ("--method", "vae", "--name", "my run"))
    assert typed(["engine", "train", "x", "--seed", "1"]) == ("train", ("--seed", "1"))
    for other in (None, "", "rm -r train", "python -m engine export x y", 7 * [None]):
        assert typed(other) == ("", ())


def test_offered_objects_begin_with_the_one_in_focus():
    assert offered(np.arange(10, 20), 12, 100, 5).tolist() == [12, 10, 11, 13, 14]
    rows = offered(None, -1, 5000, 60)
    assert len(set(rows.tolist())) == 60 and rows.max() < 5000
    assert offered(None, 3, 4).tolist()[0] == 3


# -- the view ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def view(store, monkeypatch):
    found = TrainingView(State(), store)
    found.said = []
    monkeypatch.setattr(found.view, "send", lambda kind, **message: found.said.append((kind, message)))
    return found


def last(view, kind):
    return next(message for said, message in reversed(view.said) if said == kind)


def test_a_form_is_checked_and_started(view):
    view._receive({"type": "draft", "kind": "train", "fields": {**TRAIN, "length": "x"}})
    assert "minutes" in last(view, "drafted")["problem"]
    view._receive({"type": "draft", "kind": "train", "fields": {**TRAIN, "name": "view-run"}})
    assert "--name view-run" in last(view, "drafted")["command"]
    view._receive({"type": "start", "kind": "train", "fields": {**TRAIN, "name": "view-run"}})
    view._receive({"type": "look", "have": {}})
    found = last(view, "runs")
    assert found["names"] == ["view-run"] and found["status"]["view-run"]["state"] in ("waiting", "running")
    view._receive({"type": "cancel", "job": found["status"]["view-run"]["job"]})
    assert view.store.jobs.all()[0].state == "cancelled"


def test_an_interrupted_training_is_resumed_by_its_own_command(view):
    folder = view.store.survey.path / "models" / "broken"
    make_run(folder)
    (folder / "settings.json").write_text(
        json.dumps({"command": "python -m engine train x --method byol --name broken"})
    )
    view._receive({"type": "look"})
    view._receive({"type": "resume", "name": "broken"})
    started = view.store.jobs.all()[0]
    assert started.arguments == ("train", str(view.store.survey.path), "--method", "byol", "--name", "broken")
    view._receive({"type": "picture", "name": "broken", "step": 40})
    assert unpack(view.view.picture) == ({"name": "broken", "step": 40, "sizes": [5]}, [b"png40"])


def test_two_representations_beside_each_other(view):
    pair = {"first": "rings", "second": "noise"}
    view._receive({"type": "compare", **pair})
    parts = {m["part"]: m["found"] for kind, m in view.said if kind == "compared"}
    assert parts["facts"][0]["objects"] == COUNT - 1 and parts["facts"][1]["encoder"] == "noise"
    assert abs(parts["agreement"]["mean"] - parts["agreement"]["chance"]) < 0.1
    assert parts["first"]["rankme"] < parts["second"]["rankme"]
    view._receive({"type": "near", **pair, "row": 7})
    header, pictures = unpack(view.view.near)
    assert header["row"] == 7 and len(pictures) == 1 + 2 * 12 and 7 not in header["rows"][0]
    assert set(header["common"]) == set(header["rows"][0]) & set(header["rows"][1])
    view._receive({"type": "near", **pair, "row": UNREADABLE})
    assert all(unpack(view.view.near)[0]["problems"])


def test_the_representation_in_use_is_everybodys(view):
    assert view.store.representation == view.store.survey.representations[0]
    heard = []
    forget = view.store.subscribe(lambda kind, detail: heard.append((kind, detail)))
    view._receive({"type": "use", "name": "rings"})
    assert view.store.representation == "rings" and ("representation", "rings") in heard
    view._receive({"type": "use", "name": "nonsense"})
    assert view.state.notice[0] == "error" and view.store.representation == "rings"
    forget()


def test_facts_are_measured_once(survey):
    found = Comparison(survey)
    assert found.agreement("rings", "noise") is found.agreement("noise", "rings")
    assert found.agreement("rings", "rings") == {}


def test_what_is_wrong_is_said_on_the_page(view):
    view.state.notice = ("error", "behind the page")
    assert not view.said
    view.state.page = "train"
    view._receive({"type": "resume", "name": "unheard of"})
    assert last(view, "notice")["level"] == "error" and "unheard of" in last(view, "notice")["text"]


def test_nonsense_from_the_browser_does_no_harm(view):
    for message in (
        {},
        {"type": "x"},
        {"type": "near", "row": 10**9, "first": "rings", "second": "noise"},
        {"type": "picture", "name": "../..", "step": "1"},
        {"type": "compare", "first": "../..", "second": None},
        {"type": "look", "have": 3},
        {"type": "cancel"},
        {"type": "walk", "name": "none", "first": -1, "second": 2},
        {"type": "start", "kind": "rm", "fields": None},
    ):
        view._receive(message)
    assert view.store.jobs.all() == []

"""A training from beginning to end, in its folder: what it writes, what it refuses, and that being stopped changes nothing."""

import json
import signal
import socket
import subprocess

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from small_training import Broken, register, script, small_survey

from engine.cli import main
from engine.encoders import ENCODERS
from engine.errors import UserError
from engine.training import METHODS
from engine.training import run as runs
from engine.training.record import Training

register()
SIZE = {"size": 16}
#: Options of a training whose processes are killed: a checkpoint after every few steps.
STEPS = 200
SMALL = {"method": "guess", "steps": STEPS, "size": 16, "checkpoint_seconds": 0.1}


@pytest.fixture
def survey(tmp_path):
    return small_survey(tmp_path / "a.survey", blank=[2, 9])


@pytest.fixture
def labelled(tmp_path):
    rng = np.random.default_rng(0)
    kinds = np.where(rng.random(60) < 0.5, "star", "galaxy").astype(object)
    kinds[5] = None
    columns = {"kind": kinds, "smooth": rng.random(60), "q.1": rng.random(60), "q.2": rng.random(60)}
    return small_survey(tmp_path / "b.survey", columns=columns | {"mag": 20 + rng.random(60)})


def encoder_bytes(training):
    return (training.folder / "encoder.safetensors").read_bytes()


def plain(records):
    """Records without what depends on the clock."""
    return [{k: v for k, v in r.items() if k not in {"rate", "seconds", "left"}} for r in records]


def test_a_training_leaves_the_folder_it_promises(survey):
    events = []
    made = survey.train("guess", steps=50, seed=3, **SIZE, progress=lambda *event: events.append(event))
    names = {str(p.relative_to(made.folder)) for p in made.folder.rglob("*") if p.is_file()} - {".lock"}
    logs = {"settings.json", "history.jsonl", "quality.jsonl", "encoder.safetensors", "encoder.json"}
    assert names == logs | {"pictures/000000.png", "pictures/000050.png"}
    settings, card = made.settings, made.card
    assert made.finished and made.folder == survey.path / "models" / "guess" and card.items() >= settings.items()
    wanted = {"method": "guess", "seed": 3, "steps": 50, "batch": 8, "rate": 1e-2, "size": 16, "bands": ["g", "r"]}
    assert settings.items() >= (wanted | {"science": True, "asinh": True, "targets": {}, "objects": 60}).items()
    assert settings["backbone"] == {"backbone": "small", "bands": 2, "size": 16, "width": 6}
    assert "--method guess --name guess --steps 50" in settings["command"]
    assert card["dimension"] == 6 and "58 objects of a" in card["trained_on"]
    history = made.history()
    assert [r["step"] for r in history] == [20, 40, 50] and history[-1]["left"] == 0
    assert all(r.keys() >= {"loss", "done", "learning_rate", "rate", "seconds", "left"} for r in history)
    assert [r["step"] for r in made.quality()] == [0, 50] and "rankme" in made.quality()[0]
    with Image.open(made.folder / "pictures" / "000050.png") as picture:
        assert picture.size == (2 * 64 + 2, 8 * 66 - 2)
    assert events[-1] == (50, 50, "training") and [d for d, _, s in events if s == "training"] == list(range(51))
    assert json.loads(next((survey.path / "runs").glob("*-train.json")).read_text())["settings"]["name"] == "guess"


def test_the_same_again_does_nothing_and_the_seed_decides(survey):
    first = survey.train("guess", steps=8, **SIZE)
    before, calls = encoder_bytes(first), []
    survey.train("guess", steps=8, **SIZE, progress=lambda *event: calls.append(event))
    assert not calls
    assert encoder_bytes(survey.train("guess", name="again", steps=8, **SIZE)) == before
    assert encoder_bytes(survey.train("guess", name="other", steps=8, seed=2, **SIZE)) != before


def test_what_ships_is_the_mean_of_the_weights_and_embeds(survey):
    made = survey.train("guess", steps=30, **SIZE)
    vectors = survey.embed("guess", thumbnails=False)
    assert vectors.vectors.shape == (60, 6) and vectors.vectors.dtype == np.float16
    assert np.flatnonzero(~vectors.valid).tolist() == [2, 9] and np.isfinite(vectors.vectors).all()
    stored = load_file(made.folder / "encoder.safetensors")
    assert stored["embed.weight"].dtype == torch.float16 and stored["norm.running_var"].dtype == torch.float32


def test_other_settings_under_the_same_name_are_refused_by_name(survey):
    survey.train("guess", steps=4, **SIZE)
    with pytest.raises(UserError, match=r"other settings \(seed 1 there, 2 now; steps 4 there, 5 now\).*--name"):
        survey.train("guess", steps=5, seed=2, **SIZE)
    survey.train("guess", steps=4, **SIZE, checkpoint_seconds=7)  # decides nothing


@pytest.mark.parametrize(
    "options, said",
    [
        ({"method": "nonsense"}, "simmim"),
        ({"method": "guess", "backbone": "nonsense"}, "vit-tiny"),
        ({"method": "guess", "name": "../up"}, "name"),
        ({"method": "guess", "name": next(iter(ENCODERS))}, "ships"),
        ({"method": "guess", "steps": 3, "minutes": 1}, "not both"),
        ({"method": "guess", "targets": ["mag"]}, "votes"),
        ({"method": "told", "targets": ["mag"]}, "neither fractions"),
        ({"method": "told", "targets": ["absent"]}, "no column 'absent'"),
        ({"method": "guess", "device": "abacus"}, "cpu"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_written(labelled, options, said):
    with pytest.raises(UserError, match=said):
        labelled.train(**options | SIZE)
    assert not (labelled.path / "models").exists() and not (labelled.path / "cache").exists()


def test_a_training_in_use_is_not_shared(survey):
    training = Training(survey.path / "models" / "guess")
    with training.locked(), pytest.raises(UserError, match="'guess' is being trained by another process"):
        survey.train("guess", steps=3, **SIZE)


def test_supervised_targets_and_probes_of_the_catalogue(labelled, monkeypatch):
    made = labelled.train("told", steps=5, targets=["kind", "q.1", "q.2"], **SIZE)
    assert made.settings["targets"] == {"kind": ["kind=galaxy", "kind=star"], "q": ["q.1", "q.2"]}
    assert "--targets kind q.1 q.2" in made.settings["command"]
    assert all({"probe", "probe kind", "probe q.1"} <= r.keys() for r in made.quality())
    monkeypatch.setattr(runs._Monitor, "measure", lambda self, loop: {})
    every = labelled.train("told", name="every", steps=5, **SIZE).settings["targets"]
    assert every.keys() == {"kind", "smooth", "q"}  # a magnitude is no vote


def test_minutes_become_steps_once_and_for_all(survey):
    def stop(done, total, stage):
        if stage == "training" and done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        survey.train("guess", minutes=0.1, **SIZE, progress=stop)
    settings = Training(survey.path / "models" / "guess").settings
    assert settings["minutes"] == 0.1 and settings["steps"] > 5
    steps = settings["steps"]
    (survey.path / "models" / "guess" / "settings.json").write_text(json.dumps(settings | {"steps": 20}))
    made = survey.train("guess", minutes=0.1, **SIZE)
    assert steps > 20 == made.settings["steps"] == made.history()[-1]["step"]
    # timing leaves no trace in the weights
    assert encoder_bytes(made) == encoder_bytes(survey.train("guess", name="counted", steps=20, **SIZE))


def test_a_loss_that_is_not_finite_ends_it_with_the_last_good_checkpoint_kept(survey, monkeypatch):
    monkeypatch.setattr(Broken, "at", tuple(range(60, 100)))
    with pytest.raises(UserError, match=r"has diverged.*at step 62.*smaller --rate than 0.01"):
        survey.train("broken", steps=100, **SIZE, checkpoint_seconds=0.01)
    training = Training(survey.path / "models" / "broken")
    state, step, _ = training.kept()
    assert 0 < step <= 60 and all(torch.isfinite(v).all() for v in state.values())
    monkeypatch.setattr(Broken, "at", ())
    assert survey.train("broken", steps=100, **SIZE).history()[-1]["step"] == 100


def test_a_damaged_checkpoint_is_named(survey):
    folder = survey.path / "models" / "guess"
    with pytest.raises(KeyboardInterrupt):
        survey.train("guess", steps=9, **SIZE, progress=_at(4, KeyboardInterrupt))
    (folder / "checkpoint.safetensors").write_bytes(b"nothing")
    with pytest.raises(UserError, match=r"checkpoint .* is damaged.*delete it"):
        survey.train("guess", steps=9, **SIZE)


def _at(step, error):
    def progress(done, total, stage):
        if stage == "training" and done == step:
            raise error

    return progress


# -- stopped and killed ------------------------------------------------------------------------------------------------


def begin(survey, **options):
    command, environment = script(survey, **options)
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.fixture(scope="module")
def unkilled(tmp_path_factory):
    """The survey of the kill tests, and a training that nobody disturbed."""
    torch.set_num_threads(1)
    survey = small_survey(tmp_path_factory.mktemp("kill") / "a.survey", 40)
    return survey, survey.train("guess", name="whole", steps=STEPS, **SIZE)


def same_end(made, whole):
    assert encoder_bytes(made) == encoder_bytes(whole)
    assert plain(made.history()) == plain(whole.history())
    ends = [{k: v for k, v in t.quality()[-1].items()} for t in (made, whole)]
    assert ends[0] == ends[1] and made.quality()[0] == whole.quality()[0]
    steps = [r["step"] for r in made.quality()]
    assert steps == sorted(set(steps))
    drawn = sorted(int(p.stem) for p in (made.folder / "pictures").glob("*.png"))
    assert drawn == steps
    assert not list(made.folder.rglob("*.partial")) and not made.checkpoint.exists()


def test_killed_once_it_ends_as_if_it_had_not_been(unkilled):
    survey, whole = unkilled
    process = begin(survey, **SMALL | {"name": "once", "kill": ["training", 130, 0.01]})
    assert process.communicate() and process.returncode == -signal.SIGKILL
    assert 0 < Training(survey.path / "models" / "once").kept()[1] <= STEPS
    same_end(survey.train(**SMALL | {"name": "once"}), whole)


@pytest.mark.slow
def test_killed_at_ten_random_moments_it_ends_as_if_it_had_not_been(unkilled, tmp_path):
    _, whole = unkilled
    survey = small_survey(tmp_path / "a.survey", 40)  # without the cache of the other
    rng = np.random.default_rng(11)
    moments = [["reading", 0, 0.0], ["training", 0, 0.0]]
    moments += [["training", int(step), rng.uniform(0, 0.03)] for step in np.sort(rng.integers(1, STEPS - 20, 8))]
    reached = []
    for moment in moments:
        process = begin(survey, **SMALL | {"name": "ten", "kill": moment})
        process.communicate()
        assert process.returncode == -signal.SIGKILL
        kept = Training(survey.path / "models" / "ten").kept()
        reached.append(kept[1] if kept else 0)
    assert reached == sorted(reached) and len(set(reached)) > 3  # each went on where the one before was
    same_end(survey.train(**SMALL | {"name": "ten"}), whole)


@pytest.mark.parametrize("number, status", [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_asked_to_stop_the_command_writes_a_checkpoint_and_the_same_command_goes_on(
    unkilled, monkeypatch, capsys, number, status
):
    survey, whole = unkilled
    before = signal.getsignal(signal.SIGTERM)
    add, name = runs._Records.add, f"asked-{number}"

    def stop(self, *, write):
        add(self, write=write)
        if self.loop.step == 120:
            signal.raise_signal(number)

    monkeypatch.setattr(runs._Records, "add", stop)
    options = ["--method", "guess", "--name", name, "--steps", str(STEPS), "--size", "16", "--progress", "none"]
    try:
        assert main(["train", str(survey.path), *options]) == status
        assert "run the same command to go on" in capsys.readouterr().err
        assert Training(survey.path / "models" / name).kept()[1] == 121  # heard after the next step
        assert main(["train", str(survey.path), *options, "--json"]) == 0
    finally:
        signal.signal(signal.SIGTERM, before)
    assert json.loads(capsys.readouterr().out)["steps"] == STEPS
    same_end(Training(survey.path / "models" / name), whole)


def test_two_processes_learn_what_one_does(tmp_path):
    """Gradients are averaged: halves of a batch in two processes are the whole in one (nothing here depends on rank)."""
    survey = small_survey(tmp_path / "a.survey", 40)
    whole = survey.train("plain", name="one", steps=25, **SIZE)
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = str(free.getsockname()[1])
    started = []
    for rank in range(2):
        command, environment = script(survey, method="plain", name="two", steps=25, device="cpu", **SIZE)
        places = {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2", "MASTER_ADDR": "localhost"}
        environment |= places | {"MASTER_PORT": port}
        started.append(subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True))
    errors = [process.communicate(timeout=400)[1] for process in started]
    assert [process.returncode for process in started] == [0, 0], errors
    made = Training(survey.path / "models" / "two")
    assert made.card["processes"] == 2 and [r["step"] for r in made.history()] == [20, 25]
    first, second = (load_file(t.folder / "encoder.safetensors") for t in (whole, made))
    for name, value in first.items():
        torch.testing.assert_close(second[name].float(), value.float(), rtol=2e-3, atol=2e-4)


def test_every_method_is_there():
    from engine.training import method

    for name in METHODS:
        assert method(name).defaults.keys() <= {"backbone", "batch", "rate", "decay", "betas"}

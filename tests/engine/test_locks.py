"""One process at a time; a lock dies with its holder."""

import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from engine import locks
from engine.errors import UserError

HOLD = """
import sys
from engine.locks import alone
with alone(sys.argv[1], "the thing"):
    print("held", flush=True)
    sys.stdin.read()
"""


def holder(path):
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "held\n"
    return process


def test_a_second_process_is_told_who_has_it_and_a_killed_one_leaves_nothing_behind(tmp_path):
    path = tmp_path / "a" / ".lock"
    with holder(path) as first:
        with pytest.raises(UserError, match=rf"the thing is being made by another process \({first.pid}\): wait"):
            with locks.alone(path, "the thing"):
                pass
        first.send_signal(signal.SIGKILL)
        first.wait()
    assert path.exists()  # it could not remove it
    with locks.alone(path, "the thing"):
        assert path.read_text().split()[0] == str(os.getpid())
    assert not path.exists()


def test_it_is_let_go_on_an_error_and_can_be_taken_again(tmp_path):
    for _ in range(2):
        with pytest.raises(ZeroDivisionError), locks.alone(tmp_path / "x", "x"):
            raise ZeroDivisionError


def test_never_two_at_once(tmp_path):
    inside, refused, most = [], [], []

    def work(number):
        try:
            with locks.alone(tmp_path / "x", "x"):
                inside.append(number)
                most.append(len(inside))
                inside.remove(number)
        except UserError:
            refused.append(number)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(400)))
    assert max(most) == 1 and len(most) + len(refused) == 400


def test_a_file_system_without_locks_does_not_stop_the_work(tmp_path, monkeypatch):
    fcntl = pytest.importorskip("fcntl")

    def none(descriptor, how):
        raise OSError(next(iter(locks.NO_LOCKS)), "no locks here")

    monkeypatch.setattr(fcntl, "flock", none)
    with locks.alone(tmp_path / "x", "x"):
        pass

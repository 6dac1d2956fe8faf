"""Starting: what a person can mend is one sentence and exit status 2; the demo is made by the real commands."""

import logging
import socket
import subprocess
import sys
from pathlib import Path
from threading import Thread

import pytest

from app import serve
from app.surveys import demo
from engine.errors import UserError

ROOT = Path(__file__).resolve().parents[2]


def started(*arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, str(ROOT / "launch.py"), *arguments], capture_output=True, text=True, timeout=120
    )


def test_a_wrong_folder_is_one_sentence(tmp_path, capsys):
    for folder, said in ((tmp_path / "gone", "no survey folder"), (tmp_path, "is not a survey")):
        assert serve.main([str(folder), "--no-browser", "--port", str(free_port())]) == 2
        error = capsys.readouterr().err.strip().splitlines()[-1]
        assert error.startswith("error: ") and said in error


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_a_port_in_use_names_another(small_survey, capsys):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert serve.main([str(small_survey.path), "--no-browser", "--port", str(port)]) == 2
    error = capsys.readouterr().err
    assert f"port {port} is in use" in error and f"--port {port + 1}" in error and error.count("\n") == 1


@pytest.mark.parametrize("address, port", [("192.0.2.1", 5006), ("no.such.host.invalid", 5006), ("127.0.0.1", 70000)])
def test_an_impossible_address_is_refused(address, port):
    with pytest.raises(UserError):
        serve._require_free(address, port)


def test_the_script_leaves_with_status_2(tmp_path):
    done = started(str(tmp_path / "nothing"), "--no-browser", "--port", str(free_port()))
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert done.stderr.strip().splitlines()[-1].startswith("error: there is no survey folder")


def test_the_demo_lies_in_the_cache_and_is_used_again(small_survey, tmp_path, monkeypatch):
    import shutil

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert tmp_path in demo.place().parents
    shutil.copytree(small_survey.path, demo.place())
    monkeypatch.setattr(demo.subprocess, "run", lambda *a, **k: pytest.fail("nothing is to be made"))
    assert demo.prepared() == demo.place()


def test_the_patched_part_is_still_there():
    """One patch relies on internals of Bokeh: it must fail here first."""
    from bokeh.server.views.ws import WSHandler

    assert hasattr(WSHandler, "open") and hasattr(WSHandler, "set_nodelay")


def test_a_closed_tab_is_no_news_and_anything_else_is(caplog):
    import asyncio
    import gc

    from tornado.iostream import StreamClosedError
    from tornado.websocket import WebSocketClosedError

    async def forget(error):
        async def send():
            raise error

        task = asyncio.ensure_future(send())
        await asyncio.wait([task])
        del task
        gc.collect()  # asyncio complains where nobody asked for the error

    logger = logging.getLogger("asyncio")
    logger.addFilter(serve.not_a_closed_tab)
    try:
        for error in (WebSocketClosedError(), StreamClosedError(), ValueError("news")):
            thread = Thread(target=asyncio.run, args=[forget(error)])  # Playwright has a loop in this one
            thread.start()
            thread.join()
        logger.warning("nor a message without an error")
    finally:
        logger.removeFilter(serve.not_a_closed_tab)
    assert [str(r.exc_info[1]) if r.exc_info else r.message for r in caplog.records] == [
        "news",
        "nor a message without an error",
    ]

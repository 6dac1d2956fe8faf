"""Files are whole or absent, whatever happens while they are written."""

import os
import signal
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pytest

from engine import files


def leftovers(folder):
    return sorted(p.name for p in folder.iterdir())


def test_what_is_written_is_read_back(tmp_path):
    values = np.arange(12.0).reshape(3, 4)
    files.write_npy(tmp_path / "deep" / "a.npy", values)
    files.write_json(tmp_path / "a.json", {"á": [1, None]})
    files.write_parquet(tmp_path / "a.parquet", pa.table({"x": [1, 2]}))
    read = files.read_npy(tmp_path / "deep" / "a.npy")
    assert isinstance(read, np.memmap) and not read.flags.writeable
    np.testing.assert_array_equal(read, values)
    assert files.read_json(tmp_path / "a.json") == {"á": [1, None]}
    assert leftovers(tmp_path) == ["a.json", "a.parquet", "deep"]


def test_a_failure_leaves_the_old_contents_and_no_temporary_file(tmp_path):
    path = tmp_path / "a.txt"
    files.write_text(path, "old")
    with pytest.raises(RuntimeError), files.atomic_path(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old" and leftovers(tmp_path) == ["a.txt"]


def test_a_process_killed_in_the_middle_leaves_the_old_contents(tmp_path):
    path = tmp_path / "a.txt"
    files.write_text(path, "old")
    code = (
        "import os, signal, sys; from engine import files\n"
        "with files.atomic_path(sys.argv[1]) as t:\n"
        "    t.write_text('half'); os.kill(os.getpid(), signal.SIGKILL)"
    )
    assert subprocess.run([sys.executable, "-c", code, str(path)], check=False).returncode == -signal.SIGKILL
    assert path.read_text() == "old"


def test_a_folder_appears_whole_or_not_at_all(tmp_path):
    with pytest.raises(RuntimeError), files.atomic_folder(tmp_path / "f") as folder:
        (folder / "x").write_text("1")
        raise RuntimeError
    assert leftovers(tmp_path) == []
    with files.atomic_folder(tmp_path / "f") as folder:
        (folder / "x").write_text("1")
        assert not (tmp_path / "f").exists()
    assert leftovers(tmp_path) == ["f"] and leftovers(tmp_path / "f") == ["x"]


def test_files_get_the_permissions_of_ordinary_ones(tmp_path):
    before = os.umask(0o027)
    try:
        files.write_text(tmp_path / "a", "x")
        with files.atomic_folder(tmp_path / "f"):
            pass
    finally:
        os.umask(before)
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o640
    assert (tmp_path / "f").stat().st_mode & 0o777 == 0o750


def test_nothing_is_pickled(tmp_path):
    with pytest.raises(ValueError):
        files.write_npy(tmp_path / "a.npy", np.array([{}], object))
    np.save(tmp_path / "b.npy", np.array([{}], object), allow_pickle=True)
    with pytest.raises(ValueError):
        files.read_npy(tmp_path / "b.npy", mapped=False)
    assert leftovers(tmp_path) == ["b.npy"]

"""A survey of a million objects in HDF5: nothing is copied, and memory stays bounded."""

import json
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest

from engine import Survey

N = 1_000_000
#: What the objects' own columns, and Python with torch, may take.
MOST_MEMORY = 2 << 30
COMMAND = """
import json, resource, sys
from engine.cli import main
status = main(["ingest", *sys.argv[1:], "--progress", "none"])
print(json.dumps({"status": status, "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}))
"""


@pytest.mark.slow
def test_a_million_objects_are_not_copied_and_fit_into_memory(tmp_path):
    rng = np.random.default_rng(0)
    source, ids = tmp_path / "cutouts.h5", np.array([b"obj-%d" % k for k in range(N)])
    with h5py.File(source, "w") as file:
        images = file.create_dataset("images", (N, 8, 8), "f4", chunks=(8192, 8, 8))
        for start in range(0, N, 1 << 17):
            images[start : start + (1 << 17)] = rng.standard_normal((min(1 << 17, N - start), 8, 8), np.float32)
        file["object_id"], file["ra"], file["dec"] = ids, rng.uniform(0, 360, N), rng.uniform(-90, 90, N)
    order = rng.permutation(N)
    catalogue = pd.DataFrame({"object_id": np.char.decode(ids[order]), "z": order.astype("f4")})
    catalogue.to_parquet(tmp_path / "cat.parquet")
    made = tmp_path / "x.survey"
    done = subprocess.run(
        [sys.executable, "-c", COMMAND, str(source), str(made), "--catalogue", str(tmp_path / "cat.parquet")],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).resolve().parents[2],
    )
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["status"] == 0 and told["peak"] < MOST_MEMORY
    survey = Survey.open(made)
    assert len(survey) == N and survey.header["pixels"]["root"] == str(source)
    assert sum(p.stat().st_size for p in made.rglob("*")) < 0.25 * source.stat().st_size
    rows = rng.integers(0, N, 5)
    np.testing.assert_array_equal(survey.column("z")[rows], rows.astype("f4"))
    with h5py.File(source) as file:
        for row, cutout in zip(rows, survey.cutouts.read(rows)):
            np.testing.assert_array_equal(cutout[0], file["images"][row])

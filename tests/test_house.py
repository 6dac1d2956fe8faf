"""The rules of the house that a machine can check."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
INTERFACE = {"panel", "holoviews", "bokeh", "datashader", "panel_material_ui", "app"}
ENGINE = sorted((ROOT / "engine").rglob("*.py"))
SOURCES = [*ENGINE, *sorted((ROOT / "app").rglob("*.py")), ROOT / "launch.py"]


def imported(path: Path) -> set[str]:
    """Top-level names of every module a file imports, at any depth of its code."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            found.add(node.module.split(".")[0])
    return found


@pytest.mark.parametrize("path", ENGINE, ids=lambda p: str(p.relative_to(ROOT)))
def test_engine_never_imports_the_interface(path):
    assert not imported(path) & INTERFACE


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_nothing_runs_or_unpickles_what_it_reads(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert not imported(path) & {"pickle", "dill", "joblib", "marshal", "shelve"}
    called = {n.func.id for n in ast.walk(tree) if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)}
    assert not called & {"eval", "exec", "compile", "__import__"}
    for node in ast.walk(tree):
        if isinstance(node, ast.keyword) and node.arg in {"allow_pickle", "trust_remote_code"}:
            assert isinstance(node.value, ast.Constant) and node.value.value is False


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_every_module_says_what_it_is(path):
    assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))), f"{path} has no docstring"
    assert path.stem not in {"utils", "helpers", "manager", "common", "misc"}


def test_importing_the_engine_is_light():
    """Opening a notebook must not wait for umap, numba or the interface."""
    code = (
        "import sys, engine; print(' '.join(m for m in ('umap', 'numba', 'panel', 'pynndescent') if m in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == ""


def test_public_names():
    import engine

    assert engine.__all__ == ["Survey", "UserError"]
    for name in ("ingest", "open", "embed", "representation", "layout", "similar", "interest", "export"):
        assert callable(getattr(engine.Survey, name))


def test_no_machine_path_or_registry_in_the_tree():
    listed = subprocess.run(["git", "ls-files"], capture_output=True, text=True, cwd=ROOT)
    if listed.returncode:
        pytest.skip("not a git checkout")
    pattern = re.compile(r"(?<![A-Za-z0-9_.])/(work|farm|root)/|https?://[^ ]*pypi|file:///")
    for name in listed.stdout.split():
        path = ROOT / name
        if (
            path.suffix in {".py", ".md", ".toml", ".txt", ".lock", ".cff", ".js", ".css"}
            and path != Path(__file__).resolve()
        ):
            assert not pattern.search(path.read_text(encoding="utf-8")), name

"""Queries: the same objects as pandas finds, and nothing that can be executed."""

import ast
import operator

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import UserError
from engine.search.query import columns_used, evaluate, names, select

N = 200


@pytest.fixture(scope="module")
def frame():
    rng = np.random.default_rng(5)
    mag = rng.normal(22, 2, N)
    mag[::9] = np.nan
    kind = rng.choice(["spiral", "elliptical", "naïve ★"], N).astype(object)
    kind[::7] = None
    return {
        "mag": mag,
        "size": rng.uniform(-1, 5, N).astype(np.float32),
        "n": rng.integers(-3, 4, N),
        "kind": kind,
        "flag": rng.uniform(size=N) > 0.5,
        "objid": 587722952230175000 + np.arange(N),
        "odd name": rng.normal(size=N),
        "class": rng.integers(0, 2, N),
        "µ": rng.normal(size=N),
    }


@pytest.mark.parametrize(
    "query, oracle",
    [
        ("mag < 22", lambda t: t["mag"] < 22),
        ("20 < mag <= 22.5", lambda t: (t["mag"] > 20) & (t["mag"] <= 22.5)),
        ("not mag < 22", lambda t: ~(t["mag"] < 22)),
        ("mag != 22", lambda t: ~np.isnan(t["mag"])),
        ("isnan(mag)", lambda t: np.isnan(t["mag"])),
        ("isfinite(mag) and flag", lambda t: np.isfinite(t["mag"]) & t["flag"]),
        ("(mag < 22) & (size > 1) | ~flag", lambda t: ((t["mag"] < 22) & (t["size"] > 1)) | ~t["flag"]),
        ("mag < 22 or n == 3 or n == -3", lambda t: (t["mag"] < 22) | (np.abs(t["n"]) == 3)),
        ("abs(n) == 2", lambda t: np.abs(t["n"]) == 2),
        ("log10(size) > 0.2", lambda t: t["size"] > 10**0.2),
        ("sqrt(size) >= 1", lambda t: t["size"] >= 1),
        ("(mag - 20) * 2 / size ** 2 > +1", lambda t: (t["mag"] - 20) * 2 / t["size"].astype(float) ** 2 > 1),
        ("n ** -1 > 0", lambda t: t["n"] >= 0),  # integers: no error, and 0 ** −1 is infinite
        ("n / 0 > 1", lambda t: t["n"] > 0),
        ("-n > 1", lambda t: t["n"] < -1),
        ('kind == "spiral"', lambda t: t["kind"] == "spiral"),
        ('kind != "spiral"', lambda t: (t["kind"] != "spiral") & (t["kind"] != None)),  # noqa: E711
        ('not kind == "spiral"', lambda t: t["kind"] != "spiral"),
        ('kind in ["spiral", "naïve ★"]', lambda t: np.isin(t["kind"].astype(str), ["spiral", "naïve ★"])),
        ('kind not in ["spiral"]', lambda t: np.isin(t["kind"].astype(str), ["elliptical", "naïve ★"])),
        ("isnan(kind)", lambda t: np.array([v is None for v in t["kind"]])),
        ("n in [1, 2, 3]", lambda t: t["n"] > 0),
        ("objid == 587722952230175001", lambda t: np.arange(N) == 1),  # beyond what a float64 can tell apart
        ("`odd name` > 0", lambda t: t["odd name"] > 0),
        ("`class` == 1", lambda t: t["class"] == 1),
        ("µ > 0", lambda t: t["µ"] > 0),
        ("flag == True", lambda t: t["flag"]),
        ("n < 99999999999999999999999", lambda t: np.ones(N, bool)),
        ("size < 10 ** 10 ** 10", lambda t: np.ones(N, bool)),
        ('kind == "`odd name`" or n > 0', lambda t: t["n"] > 0),
    ],
)
def test_equals_numpy(frame, query, oracle):
    found = evaluate(query, frame)
    assert found.dtype == bool
    with np.errstate(all="ignore"):
        expected = np.asarray(oracle(frame), bool)
    assert np.array_equal(found, expected)


def test_truth_values_with_gaps():
    table = {"flag": np.array([True, None, False], object)}
    assert evaluate("flag", table).tolist() == [True, False, False]
    assert evaluate("flag == False", table).tolist() == [False, False, True]
    assert evaluate("isnan(flag)", table).tolist() == [False, True, False]


numbers = st.sampled_from(["a", "b", "2", "-1.5", "0"])
comparisons = st.tuples(numbers, st.sampled_from(["<", "<=", ">", ">=", "=="]), numbers).map(" ".join)
conditions = st.recursive(
    comparisons,
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["and", "or"]), inner).map(lambda p: f"({' '.join(p)})"),
        inner.map(lambda p: f"(not {p})"),
    ),
    max_leaves=6,
)


@settings(max_examples=100, deadline=None)
@given(conditions)
def test_any_condition_equals_pythons_own_row_by_row(condition):
    table = {"a": np.array([-2.0, 0.0, 1.0, 2.0]), "b": np.array([2, -1, 0, 2])}
    found = evaluate(f"{condition} or a > 99", table)
    expected = [_python(ast.parse(condition, mode="eval").body, {k: v[i] for k, v in table.items()}) for i in range(4)]
    assert found.tolist() == expected


def _python(node, row):
    """One object's truth, by Python's rules."""
    match node:
        case ast.BoolOp():
            return (all if isinstance(node.op, ast.And) else any)(_python(v, row) for v in node.values)
        case ast.UnaryOp():
            return not _python(node.operand, row) if isinstance(node.op, ast.Not) else -_python(node.operand, row)
        case ast.Compare():
            compare = {"Lt": operator.lt, "LtE": operator.le, "Gt": operator.gt, "GtE": operator.ge, "Eq": operator.eq}
            left, right = _python(node.left, row), _python(node.comparators[0], row)
            return bool(compare[type(node.ops[0]).__name__](left, right))
        case ast.Name():
            return float(row[node.id])
        case _:
            return node.value


@pytest.mark.parametrize(
    "query, words",
    [
        ("", "empty"),
        ("   ", "empty"),
        ("mgg < 2", "mag"),
        ("MAG < 2", "mag"),
        ("mag <", "cannot be read"),
        ("mag = 2", "cannot be read"),
        ("class == 1", "backticks"),
        ("mag", "condition"),
        ("mag > 1 & size < 2", "parentheses"),
        ("mag and size > 1", "condition"),
        ("1 < 2", "names no column"),
        ("kind > 3", "text"),
        ("kind + 1 > 3", "text"),
        ('mag == "bright"', "text"),
        ("mag in kind", "list"),
        ("mag is None", "cannot compare"),
        ("mag == None", "None"),
        ("mag % 2 == 1", "compute"),
        ("__import__('os').system('true')", "call"),
        ("(lambda: 1)() == mag", "call"),
        ("mag.__class__ == 1", "cannot hold"),
        ("[m for m in mag] == 1", "cannot hold"),
        ("mag[0] > 1", "cannot hold"),
        ("(x := 3) > mag", "cannot hold"),
        ("f'{mag}' == kind", "cannot hold"),
        ("abs(mag, 2) > 1", "call"),
        ("abs(x=mag) > 1", "call"),
        ("b'x' == kind", "cannot hold"),
        ("1j < mag", "cannot hold"),
        ("mag > 1 " + "and mag > 1 " * 500, "characters"),
        ("(" * 1500 + "mag" + ")" * 1500 + "> 1", "cannot be read"),
        ("~" * 3000 + "flag", "deep"),
        ("-" * 100 + "mag > 1", "deep"),
        ("mag > 1\0", "cannot be read"),
    ],
)
def test_refused_with_a_remedy(frame, query, words):
    with pytest.raises(UserError, match=words):
        evaluate(query, frame)


def test_dates_are_refused():
    with pytest.raises(UserError, match="neither numbers nor text"):
        evaluate("t > 1", {"t": np.array(["2020-01-01"], "M8[D]")})


def test_columns_used_in_order():
    assert columns_used('b < 2 and abs(a) > 1 or `x y` in ["q"] and b == 3') == ["b", "a", "x y"]


def test_only_named_columns_are_read(frame):
    asked = []

    def column(name):
        asked.append(name)
        return frame[name]

    evaluate("mag < 20 or mag > 24", column, names=list(frame))
    assert set(asked) == {"mag"}


def test_select_by_column_score_and_label(make_survey):
    survey = make_survey(
        6, columns={"mag": [20, 21, np.nan, 23, 24, 25.0], "morph": pd.Categorical(["s", "e", None, "s", "s", "e"])}
    )
    survey.store_score("mean_dwarf", np.array([0.1, 0.9, 0.9, np.nan, 0.7, 0.2]))
    survey.labels.add([1, 4], "dwarf", ["yes", "no"], ids=["o1", "o4"], user="me")
    assert {"mag", "mean_dwarf", "label_dwarf"} <= set(names(survey))
    assert select(survey, "mean_dwarf > 0.5").tolist() == [1, 2, 4]
    assert select(survey, 'mean_dwarf > 0.5 and not label_dwarf == "no"').tolist() == [1, 2]
    assert select(survey, "isnan(label_dwarf) and mag > 22").tolist() == [3, 5]
    assert select(survey, 'morph == "s"').tolist() == [0, 3, 4]
    assert select(survey, 'id in ["o2", "o5"]').tolist() == [2, 5]
    assert select(survey, "mag > 99").tolist() == []
    with pytest.raises(UserError, match="mean_dwarf"):
        select(survey, "mean_dwarfs > 1")
    survey.labels.close()

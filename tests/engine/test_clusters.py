"""Clusters of a survey: made, stored whole, named for good, found by queries, in catalogues and on the command line."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import adjusted_rand_score

from engine import Survey, UserError, files
from engine.cli import main
from engine.doctor import diagnose
from engine.maps.clustering import clusters
from engine.search.query import select

#: Four groups on a layout and in a representation, 150, 120, 90 and 60 objects, and 30 scattered ones.
SIZES = (150, 120, 90, 60, 30)
GROUP = np.repeat([0, 1, 2, 3, -1], SIZES)


def placed(survey, xy, name="groups"):
    files.write_npy(survey.path / "layouts" / name / "xy.npy", np.asarray(xy, np.float32))
    files.write_json(survey.path / "layouts" / name / "meta.json", {"method": "columns"})


def groups(seed=0, spread=0.5):
    """Positions of the groups, (450, 2)."""
    random = np.random.default_rng(seed)
    middles = np.array([[0, 0], [10, 0], [0, 10], [10, 10], [0, 0]])
    xy = middles[GROUP] + spread * random.normal(size=(len(GROUP), 2))
    xy[GROUP < 0] = random.uniform(-5, 15, ((GROUP < 0).sum(), 2))
    return xy


@pytest.fixture
def survey(make_survey):
    random = np.random.default_rng(5)
    vectors = np.column_stack([groups(), 0.3 * random.normal(size=(len(GROUP), 4))])
    kind = np.array(["spiral", "elliptical", "star", "ring", "other"], object)[GROUP]
    made = make_survey(len(GROUP), columns={"kind": kind, "mag_r": random.normal(20, 1, len(GROUP))}, vectors=vectors)
    placed(made, groups())
    return made


@pytest.mark.parametrize(
    "options",
    [
        {"method": "hdbscan", "layout": "groups"},
        {"method": "hdbscan", "representation": "given", "min_samples": 5},
        {"method": "kmeans", "k": 4},
        {"method": "kmeans", "k": 4, "layout": "groups"},
    ],
    ids=str,
)
def test_the_groups_are_found_named_and_kept(survey, options):
    made = survey.cluster(**options)
    known = GROUP >= 0
    assert len(made) == 4 and adjusted_rand_score(GROUP[known], made.codes[known]) > 0.95
    assert [name.split(" ")[0] for name in made.names] == ["spiral", "elliptical", "star", "ring"]
    assert [c.count for c in made.clusters] == np.bincount(made.codes[made.codes >= 0]).tolist()
    assert made.none == (made.codes < 0).sum() and made.rows(2).tolist() == np.flatnonzero(made.codes == 2).tolist()
    again = clusters.read(Survey.open(survey.path))
    assert again.names == made.names and np.array_equal(again.codes, made.codes) and again.codes.dtype == np.int32
    assert again.meta["method"] == options["method"] and again.meta["words"]
    assert survey.clusters == [made.name] and made.name.isidentifier()
    assert diagnose(survey.path) == [f for f in diagnose(survey.path) if "cluster" not in f.where]


def test_the_same_seed_gives_the_same_clusters(survey):
    for options in ({"layout": "groups"}, {"method": "kmeans"}):
        one, other = survey.cluster(**options), survey.cluster(**options)
        assert np.array_equal(one.codes, other.codes) and one.names == other.names


def test_objects_without_a_place_are_in_none(survey):
    xy = groups()
    xy[::7] = np.nan
    placed(survey, xy)
    made = survey.cluster(layout="groups")
    assert (made.codes[::7] == -1).all() and made.codes.max() == 3
    assert made.meta["looked_at"] == np.isfinite(xy[:, 0]).sum()


@pytest.mark.parametrize("count", [0, 1, 3])
def test_few_objects_give_no_clusters_and_no_error(make_survey, count):
    survey = make_survey(6)
    xy = np.full((6, 2), np.nan)
    xy[:count] = np.arange(count)[:, None]
    placed(survey, xy)
    made = survey.cluster(layout="groups")
    assert len(made) == 0 and made.none == 6
    assert select(survey, "cluster_hdbscan_groups == 0").tolist() == []


def test_what_makes_no_sense_is_refused(survey, make_survey):
    for options, words in (
        ({"method": "mean"}, "no clustering method"),
        ({"layout": "none"}, "no layout 'none'"),
        ({"layout": "groups", "representation": "given"}, "not in both"),
        ({"min_size": 1}, "at least 2"),
        ({"min_samples": 0}, "1 to 1000"),
        ({"choice": "all"}, "cannot be chosen"),
        ({"method": "kmeans", "k": 1}, "divide nothing"),
        ({"method": "kmeans", "k": 1000}, "cannot be divided"),
        ({"name": "../x"}, "cannot be used as a name"),
    ):
        with pytest.raises(UserError, match=words):
            survey.cluster(**options)
    assert survey.clusters == []
    with pytest.raises(UserError, match="no layout yet"):
        make_survey(5, name="bare").cluster()


# -- names ------------------------------------------------------------------------------------------------------------


def test_a_persons_name_stays_when_clusters_are_found_again(survey):
    made = survey.cluster(layout="groups")
    clusters.rename(survey, made.name, 1, "  Gems\tof the sky ")
    named = clusters.read(survey, made.name).clusters[1]
    assert (named.name, named.own, named.count) == ("Gems of the sky", True, made.clusters[1].count)
    placed(survey, 3 - groups(spread=0.6))  # turned and blurred: the same groups mostly
    again = survey.cluster(layout="groups")
    (gems,) = [c for c in again.clusters if c.own]
    assert gems.name == "Gems of the sky" and again.meta["lost"] == []
    assert len(np.intersect1d(again.rows(gems.code), made.rows(1))) > 0.8 * made.clusters[1].count
    back = clusters.rename(survey, made.name, gems.code, "")
    assert not back.clusters[gems.code].own and back.names[gems.code].startswith("elliptical")


def test_a_persons_name_whose_cluster_is_gone_is_told(survey):
    made = survey.cluster(layout="groups")
    clusters.rename(survey, made.name, 0, "Gone")
    placed(survey, np.random.default_rng(1).permutation(groups()))
    assert survey.cluster(layout="groups").meta["lost"] == ["Gone"]


def test_names_pass_on_by_what_two_clusters_share():
    old = np.array([0] * 10 + [1] * 10 + [-1] * 5)
    new = np.array([2] * 8 + [1] * 2 + [1] * 4 + [0] * 6 + [2] * 5)
    assert clusters.same_clusters(old, new, [0, 1]) == {0: 2, 1: 0}  # 8/15 and 6/10
    assert clusters.same_clusters(old, np.full(25, -1), [0]) == {}
    assert clusters.same_clusters(old, np.roll(old, 5), [0]) == {}  # 5/15


def test_renaming_refuses_what_cannot_be(survey):
    made = survey.cluster(layout="groups")
    for code, text, words in ((9, "x", "no cluster 9"), (0, "y" * 61, "61 characters"), (0, made.names[1], "another")):
        with pytest.raises(UserError, match=words):
            clusters.rename(survey, made.name, code, text)
    clusters.rename(survey, made.name, 0, "ring\x1b[2J")
    assert clusters.read(survey).names[0] == "ring\\x1b[2J"


def test_a_persons_name_that_is_also_found_is_not_given_twice(survey):
    made = survey.cluster(layout="groups")
    taken = made.names[0]
    clusters.rename(survey, made.name, 0, "Mine")
    clusters.rename(survey, made.name, 1, taken)
    again = survey.cluster(layout="groups")
    assert again.names[:2] == ("Mine", taken) and len(set(again.names)) == 4


# -- on disk ----------------------------------------------------------------------------------------------------------


def test_damage_is_told_with_a_remedy(survey):
    made = survey.cluster(layout="groups")
    folder = survey.path / "clusters" / made.name
    whole = files.read_json(folder / "meta.json")
    for meta in (
        {},
        [1],
        {**whole, "codes": "../../objects.parquet"},
        {**whole, "clusters": [{}]},
        {**whole, "codes": "x.npy"},
    ):
        files.write_json(folder / "meta.json", meta)
        with pytest.raises(UserError, match="damaged"):
            clusters.read(survey, made.name)
        assert any("clusters" in fault.where for fault in diagnose(survey.path))
    files.write_json(folder / "meta.json", whole)
    files.write_npy(folder / whole["codes"], np.zeros(3, np.int32))
    with pytest.raises(UserError, match="codes of 3 objects"):
        clusters.read(survey, made.name)
    assert len(survey.cluster(layout="groups")) == 4  # made again over the damage


def test_a_run_that_ends_early_leaves_the_old_clusters(survey, monkeypatch):
    made = survey.cluster(layout="groups")
    before = made.codes.tolist()

    def fail(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(clusters.files, "write_json", fail)
    with pytest.raises(KeyboardInterrupt):
        survey.cluster(layout="groups", min_size=140)
    assert clusters.read(survey, made.name).codes.tolist() == before


def test_deleting_takes_it_away_and_nothing_else(survey):
    survey.cluster(layout="groups")
    survey.cluster("kmeans", k=3, name="three parts")
    clusters.delete(survey, "hdbscan_groups")
    assert survey.clusters == ["three parts"] and not (survey.path / "clusters" / "hdbscan_groups").exists()
    with pytest.raises(UserError, match="no clustering"):
        clusters.delete(survey, "hdbscan_groups")


# -- queries, catalogues, commands ------------------------------------------------------------------------------------


def test_queries_know_clusters_by_number_and_by_name(survey):
    made = survey.cluster(layout="groups")
    name = made.names[2]
    for query, expected in (
        ("cluster_hdbscan_groups == 2", made.codes == 2),
        (f"cluster_hdbscan_groups == '{name}'", made.codes == 2),
        (f"'{name}' == cluster_hdbscan_groups", made.codes == 2),
        (f"cluster_hdbscan_groups != '{name}'", (made.codes != 2) & (made.codes >= 0)),
        (f"cluster_hdbscan_groups in ['{name}', 0]", np.isin(made.codes, [0, 2])),
        (f"cluster_hdbscan_groups not in ['{name}', 0]", np.isin(made.codes, [1, 3])),
        (
            "cluster_hdbscan_groups < 2 and mag_r < 20",
            (made.codes >= 0) & (made.codes < 2) & (survey.column("mag_r") < 20),
        ),
        ("isnan(cluster_hdbscan_groups)", made.codes < 0),
    ):
        assert select(survey, query).tolist() == np.flatnonzero(expected).tolist(), query
    with pytest.raises(UserError, match="did you mean: " + name[:5]):
        select(survey, f"cluster_hdbscan_groups == '{name[:-2]}'")
    with pytest.raises(UserError, match="no column 'cluster_nothing'"):
        select(survey, "cluster_nothing == 1")


def test_a_column_of_the_catalogue_goes_before_clusters_of_its_name(make_survey):
    survey = make_survey(len(GROUP), columns={"cluster_hdbscan_groups": np.arange(len(GROUP))})
    placed(survey, groups())
    survey.cluster(layout="groups")
    assert select(survey, "cluster_hdbscan_groups == 40").tolist() == [40]


def test_catalogues_have_the_names_of_clusters(survey, tmp_path):
    made = survey.cluster(layout="groups")
    table = pq.read_table(survey.export(tmp_path / "all.parquet"))
    told = table["cluster_hdbscan_groups"].to_pylist()
    assert told == [made.names[c] if c >= 0 else None for c in made.codes]
    few = pq.read_table(survey.export(tmp_path / "few.parquet", query="cluster_hdbscan_groups == 1", columns=["mag_r"]))
    assert few.num_rows == made.clusters[1].count and "cluster_hdbscan_groups" not in few.column_names


def test_the_command_finds_lists_renames_and_deletes(survey, capsys):
    def run(*options):
        status = main(["clusters", str(survey.path), "--progress", "none", *options])
        said = capsys.readouterr()
        return status, said.out + said.err

    status, said = run("--list")
    assert status == 0 and "No clusters yet" in said
    status, said = run("--layout", "groups", "--json")
    facts = json.loads(said)
    assert status == 0 and facts["name"] == "hdbscan_groups" and [c["code"] for c in facts["clusters"]] == [0, 1, 2, 3]
    assert facts["none"] + sum(c["count"] for c in facts["clusters"]) == len(survey)
    status, said = run("--method", "kmeans", "--k", "3", "--name", "three")
    assert status == 0 and "three: 3 clusters" in said
    assert run("--rename", "0", "Mine")[0] == 2  # of which?
    status, said = run("--name", "three", "--rename", "0", "Mine")
    assert status == 0 and clusters.read(survey, "three").names[0] == "Mine"
    status, said = run("--list", "--json")
    assert {c["name"] for c in json.loads(said)["clusterings"]} == {"three", "hdbscan_groups"}
    assert run("--delete", "--name", "three")[0] == 0 and survey.clusters == ["hdbscan_groups"]
    assert run("--method", "unknown")[0] == 2

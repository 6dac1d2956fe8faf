"""Which catalogue row belongs to which object: by id and by position."""

import numpy as np
import pyarrow as pa
import pytest

from engine.data import crossmatch
from engine.data.crossmatch import match
from engine.errors import UserError


def join(table, ids, **options):
    options = {"ra": np.full(len(ids), np.nan), "dec": np.full(len(ids), np.nan)} | options
    return match(pa.table(table), ids, **options)


@pytest.mark.parametrize(
    "column",
    [
        pa.array(["100008", "100023"]),
        pa.array([100008, 100023]),
        pa.array([100008.0, 100023.0]),
        pa.array(["100008.jpg", "100023.JPG"]),
        pa.array(["images/train/100008.jpg", "x/100023"]),
    ],
)
def test_ids_match_however_they_are_written(column):
    found = join({"GalaxyID": column, "v": [1, 2]}, ["100023", "7", "100008"])
    assert found.rows.tolist() == [1, -1, 0] and found.column == "GalaxyID" and len(found.unused) == 0


def slow_join(ids, keys):
    rows = []
    for i in ids:
        hits = [k for k, key in enumerate(keys) if key == i]
        hits = hits or [k for k, key in enumerate(keys) if key.endswith("/" + i)]
        rows.append(hits[0] if hits else -1)
    return rows


def test_the_join_equals_a_search_through_all(tmp_path):
    rng = np.random.default_rng(0)
    ids = [f"{a}/{b}" if a else str(b) for a, b in zip(rng.choice(["", "x", "y"], 60), rng.permutation(60))]
    keys = [f"d/{i}" if rng.random() < 0.3 else i for i in rng.permutation(ids)[:40]] + ["other", ""]
    found = crossmatch._join(ids, np.array(keys, object))
    assert found.tolist() == slow_join(ids, keys)


def test_the_column_that_matches_best_is_taken():
    ids = ["a", "b", "c", "d"]
    names, paths = ["a", "x", "y", "z"], ["d.jpg", "c.jpg", "b.jpg", "q.jpg"]
    found = join({"id": [1, 2, 3, 4], "name": names, "file": paths}, ids)
    assert found.column == "file" and found.rows.tolist() == [-1, 2, 1, 0] and len(found.unused) == 1
    assert join({"strange": ["a", "b", "c", "x"]}, ids).column == "strange"
    named = join({"Name ": ["a", "b", "c", "x"], "z": [1, 2, 3, 4]}, ids, id_column="Name ")
    assert named.rows.tolist() == [0, 1, 2, -1]


def test_no_match_and_a_missing_column_are_refused_with_the_columns():
    with pytest.raises(UserError) as caught:
        join({"id": ["x"], "mag": [1.0]}, ["a"], id_column="objid")
    assert "id, mag" in caught.value.remedy
    with pytest.raises(UserError, match="no column of the catalogue holds the ids") as caught:
        join({"mag": [1.5], "z": [0.1]}, ["a"])
    assert "mag, z" in caught.value.remedy
    with pytest.raises(UserError, match="belongs to an image"):
        join({"id": ["x"]}, ["a"], id_column="id")


def test_rows_that_repeat_are_counted():
    found = join({"id": ["a", "b", "a"], "v": [1.0, np.nan, 1.0]}, ["a", "b"])
    assert found.rows.tolist() == [0, 1] and found.repeated == 1 and len(found.unused) == 0
    found = join({"id": ["a", "q", "q"], "v": [1, 2, 3]}, ["a"])  # repeats that belong to no object are just unused
    assert found.repeated == 0 and len(found.unused) == 2 and found.differing == ()


def test_ids_whose_rows_differ_are_named_and_the_first_is_taken():
    found = join({"id": ["a", "b", "a", "b", "b"], "v": [1, 2, 3, 2, 2]}, ["a", "b"])
    assert (
        found.rows.tolist() == [0, 1] and found.repeated == 3 and found.differing == ("a",) and len(found.unused) == 0
    )


def test_positions_match_what_ids_do_not():
    rng = np.random.default_rng(0)
    ra, dec = rng.uniform(0, 360, 30), rng.uniform(-85, 85, 30)
    table = {"id": [str(k) for k in range(30)], "ra": ra, "dec": dec}
    order = rng.permutation(30)
    shift = 0.5 / 3600
    ids = [str(k) if k < 10 else f"other{k}" for k in order]
    far = np.where(order == 29, 0.01, shift)
    found = join(table, ids, ra=ra[order], dec=dec[order] + far)
    assert found.rows.tolist() == [-1 if k == 29 else k for k in order] and found.by_position == 19


def test_positions_match_across_zero_hours():
    found = join({"ra": [359.99999], "dec": [0.0]}, ["a"], ra=np.array([0.00001]), dec=np.array([0.0]))
    assert found.rows.tolist() == [0] and found.column is None


def test_hdus_join_by_number_only_with_their_own_file():
    table = {"IDENT": [100, 101], "GAL_HDU": [1, 0], "GAL_FILENAME": ["x.fits", "x.fits"]}
    assert join(table, ["0", "1"], hdus=("x.fits", [0, 1])).rows.tolist() == [1, 0]
    with pytest.raises(UserError):
        join(table, ["0", "1"], hdus=("other.fits", [0, 1]))


def test_the_radius_says_how_near_a_row_must_be():
    table = {"ra": [10.0, 20.0], "dec": [0.0, 0.0]}
    where = {"ra": np.array([10.0, 20.0]), "dec": np.array([2.5 / 3600, 0.5 / 3600])}
    assert join(table, ["a", "b"], **where).rows.tolist() == [-1, 1]
    assert join(table, ["a", "b"], radius=3.0, **where).rows.tolist() == [0, 1]
    for radius in (0, -1, np.nan, 4000):
        with pytest.raises(UserError, match="radius"):
            join(table, ["a", "b"], radius=radius, **where)


def test_positions_match_as_a_search_through_all_says():
    from astropy.coordinates import SkyCoord

    rng = np.random.default_rng(1)
    ra, dec = rng.uniform(359.9, 360.1, 400) % 360, rng.uniform(79.9, 80.0, 400)
    other_ra, other_dec = rng.uniform(359.9, 360.1, 300) % 360, rng.uniform(79.9, 80.0, 300)
    found = join({"ra": other_ra, "dec": other_dec}, [f"x{k}" for k in range(400)], ra=ra, dec=dec, radius=8.0)
    index, apart, _ = SkyCoord(ra, dec, unit="deg").match_to_catalog_sky(SkyCoord(other_ra, other_dec, unit="deg"))
    assert found.rows.tolist() == np.where(apart.arcsec < 8.0, index, -1).tolist() and (found.rows >= 0).sum() > 50
    used = found.rows[found.rows >= 0]
    assert found.shared == sum((used == row).sum() > 1 for row in used) > 0
    assert len(found.unused) == 300 - len(set(used.tolist()))


def test_the_way_of_joining_can_be_chosen():
    table = {"id": ["a", "b"], "ra": [20.0, 10.0], "dec": [0.0, 0.0]}
    where = {"ra": np.array([10.0, 20.0, 10.0]), "dec": np.zeros(3)}
    assert join(table, ["a", "b", "c"], **where).rows.tolist() == [0, 1, 1]
    assert join(table, ["a", "b", "c"], way="id", **where).rows.tolist() == [0, 1, -1]
    by_position = join(table, ["a", "b", "c"], way="position", **where)
    assert by_position.rows.tolist() == [1, 0, 1] and by_position.column is None and by_position.by_position == 3
    with pytest.raises(UserError, match="lies at the position"):
        join(table, ["a", "b", "c"], way="position")
    with pytest.raises(UserError, match="matched by 'name'"):
        join(table, ["a"], way="name")


def test_right_ascensions_in_hours_are_seen_when_the_pixels_know_better():
    ra, dec = np.array([150.0, 210.3, 359.0]), np.array([2.0, -1.0, 5.0])
    hours = {"id": ["a", "b", "c"], "ra": ra / 15, "dec": dec}
    by_id = join(hours, ["a", "b", "c"], ra=ra, dec=dec)
    assert by_id.hours and by_id.column == "id"
    by_position = join({"ra": ra / 15, "dec": dec}, ["x", "y", "z"], ra=ra, dec=dec)
    assert by_position.hours and by_position.rows.tolist() == [0, 1, 2]
    assert not join({"id": ["a"], "ra": [12.0], "dec": [0.0]}, ["a"], ra=np.array([12.0]), dec=np.array([0.0])).hours
    assert not join(hours, ["a", "b", "c"]).hours  # nobody knows

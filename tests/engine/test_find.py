"""What a person types: ids first, then places on the sky, then conditions."""

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import UserError
from engine.search.find import Place, around, find, read_place, separation


@pytest.mark.parametrize(
    "text, expected",
    [
        ("150.11 2.20", (150.11, 2.2, None)),
        ("150.11, -2.20, 30 arcsec", (150.11, -2.2, 30)),
        ('150.11 2.20 30"', (150.11, 2.2, 30)),
        ("10:00:26.4 +02:12:00 1'", (150.11, 2.2, 60)),
        ("10h00m26.4s +02d12m00s 0.5 deg", (150.11, 2.2, 1800)),
        ("10 00 26.4 −02 12 00", (150.11, -2.2, None)),
        ("-10 5", (350, 5, None)),
    ],
)
def test_places_are_read_as_they_are_written(text, expected):
    found = read_place(text)
    assert (found.ra, found.dec) == pytest.approx(expected[:2], abs=1e-9) and found.radius == expected[2]


@pytest.mark.parametrize("text", ["", "12", "mag < 3", "g001", "1 2 3", "400 5", "10 95", "a b", "1e5 3 x"])
def test_what_is_no_place_is_left_alone(text):
    assert read_place(text) is None


@given(
    st.floats(0, 360), st.floats(-90, 90), st.floats(0, 360, exclude_max=True), st.floats(-90, 90), st.floats(0, 1e-3)
)
def test_distances_are_astropys(ra, dec, ra0, dec0, small):
    for a, d in ((ra, dec), ((ra0 + small) % 360, min(dec0 + small, 90))):
        expected = SkyCoord(a * u.deg, d * u.deg).separation(SkyCoord(ra0 * u.deg, dec0 * u.deg)).arcsec
        # near the antipode the haversine loses digits, some milliarcsec of 648,000 arcsec
        assert separation(np.array([a]), np.array([d]), ra0, dec0)[0] == pytest.approx(expected, abs=0.02, rel=1e-9)


@pytest.fixture
def survey(make_survey):
    return make_survey(
        50, columns={"mag_r": np.linspace(18, 24, 50), "odd name": np.arange(50), "cluster_a": np.arange(50) % 4}
    )


def test_ids_places_and_conditions(survey):
    assert find(survey, "o7, o3").rows.tolist() == [3, 7] and find(survey, "o7").how == {"kind": "ids", "query": "o7"}
    ra, dec = survey.column("ra"), survey.column("dec")
    assert find(survey, f"{ra[20]} {dec[20]}").rows.tolist() == [20]
    circle = find(survey, f"{ra[20]} {dec[20]} 3 arcmin")
    distance = SkyCoord(ra * u.deg, dec * u.deg).separation(SkyCoord(ra[20] * u.deg, dec[20] * u.deg)).arcmin
    assert circle.rows.tolist() == np.flatnonzero(distance <= 3).tolist() and circle.how["kind"] == "place"
    assert find(survey, "0 0 1 arcsec").rows.tolist() == []
    assert find(survey, "ra > 10.9 and dec < -4.02").rows.tolist() == [45, 46, 47, 48]
    with pytest.raises(UserError, match="within 60 arcsec"):
        find(survey, "0 0")
    with pytest.raises(UserError, match="no column 'o99'"):
        find(survey, "o99")


def test_scores_labels_and_clusters_are_conditions_as_well(survey):
    survey.store_score("p_dwarf", np.linspace(0, 1, 50).astype(np.float32))
    survey.labels.add(np.array([48, 49]), "dwarf", "yes", ids=["o48", "o49"], user="me")
    assert find(survey, "mag_r < 22 and p_dwarf > 0.5").rows.tolist() == list(range(25, 33))
    assert find(survey, 'label_dwarf == "yes" and p_dwarf > 0.99').rows.tolist() == [49]
    assert find(survey, "cluster_a in [1] and `odd name` < 9").rows.tolist() == [1, 5]


def test_objects_without_a_position_are_never_near(make_survey):
    survey = make_survey(3)
    from unittest.mock import patch

    nan = np.array([np.nan, 10.0, np.nan])
    with patch.object(type(survey), "column", lambda self, name: nan):
        assert around(survey, Place(10.0, 10.0, 5.0)).tolist() == [1]
    with patch.object(type(survey), "column", lambda self, name: np.full(3, np.nan)):
        with pytest.raises(UserError, match="no positions"):
            around(survey, Place(10.0, 10.0))

"""Names of clusters: what is commoner in them, how they differ, how they look; never what is not so."""

import io

import numpy as np
import pytest
from PIL import Image

from engine.maps.clustering.appearance import WORDS, measures
from engine.maps.clustering.naming import departures, find_names, in_figures, sample

N = 1200


@pytest.fixture
def surveyed(make_survey):
    """Make a survey of four groups of 300 with columns that tell them apart, and the groups' codes."""
    codes = np.repeat(np.arange(4), N // 4).astype(np.int32)

    def make(**columns):
        return make_survey(N, columns=columns), codes

    return make


def texts(survey, codes):
    return [name.text for name in find_names(survey, codes)]


def test_a_class_that_prevails_names_the_cluster_with_its_share(surveyed):
    random = np.random.default_rng(0)
    kind = np.where(np.arange(N) < 300, "spiral", random.choice(["elliptical", "edge-on", "star"], N)).astype(object)
    kind[:60:2] = "elliptical"  # 30 of 300
    survey, codes = surveyed(morphology=kind)
    names = find_names(survey, codes)
    assert names[0].text == "spiral 90 %"
    assert names[0].why == "morphology: spiral 90 % of 300 known, elsewhere 0 %"
    assert [n.text for n in names[1:]] == ["cluster 1", "cluster 2", "cluster 3"]  # nothing stands out in them


def test_a_class_everywhere_alike_names_nothing(surveyed):
    survey, codes = surveyed(morphology=np.where(np.arange(N) % 10, "spiral", "star"))
    assert texts(survey, codes) == [f"cluster {k}" for k in range(4)]


def test_a_rare_class_names_where_it_gathers(surveyed):
    kind = np.full(N, "galaxy", object)
    kind[:120] = "dwarf"
    survey, codes = surveyed(kind=kind)
    assert texts(survey, codes)[0] == "dwarf 40 %"


def test_a_class_of_too_few_names_nothing(surveyed):
    kind = np.full(N, None, object)
    kind[:40], kind[300:700] = "spiral", "star"
    survey, codes = surveyed(kind=kind)  # 40 of 300 are known: no more than a sixth
    assert texts(survey, codes)[0] == "cluster 0" and texts(survey, codes)[1] == "star 100 %"


def test_flags_and_labels_name_clusters(surveyed):
    survey, codes = surveyed(saturated=np.arange(N) < 280)
    assert texts(survey, codes)[0] == "saturated 93 %"
    rows = np.arange(600, 620)
    survey.labels.add(rows, "lens", "yes", ids=survey.ids.take(rows).to_pylist(), user="a")
    rows = np.arange(900, 910)
    survey.labels.add(rows, "lens", "no", ids=survey.ids.take(rows).to_pylist(), user="a")
    named = find_names(survey, codes)[2]
    assert named.text.startswith("lens: yes 100 %") and "of 20 known" in named.why


def test_the_column_in_which_it_differs_names_it_with_the_median(surveyed):
    random = np.random.default_rng(1)
    magnitude = random.normal(20, 1, N)
    magnitude[:300] -= 4
    survey, codes = surveyed(mag_r=magnitude, ellipticity=random.normal(0.3, 0.1, N))
    named = find_names(survey, codes)[0]
    assert named.text == f"mag_r {in_figures(float(np.median(magnitude[:300])))}"
    assert "robust sd below" in named.why


def test_of_columns_that_say_the_same_one_is_named(surveyed):
    random = np.random.default_rng(2)
    bright = random.normal(20, 1, N) - np.where(np.arange(N) < 300, 4, 0)
    wide = random.normal(1, 0.1, N) + np.where(np.arange(N) < 300, 0.5, 0) * random.random(N)
    survey, codes = surveyed(mag_g=bright + 0.05 * random.normal(size=N), mag_r=bright, radius=wide)
    assert len([p for p in texts(survey, codes)[0].split(" · ") if p.startswith("mag")]) == 1


def test_positions_and_numbers_of_objects_name_nothing(surveyed):
    survey, codes = surveyed(objid=np.arange(N) + 10**9)
    assert texts(survey, codes) == [f"cluster {k}" for k in range(4)]


def test_no_two_clusters_have_one_name(surveyed):
    kind = np.where(np.arange(N) < 600, "spiral", "star")
    survey, codes = surveyed(kind=kind)
    names = texts(survey, codes)
    assert len(set(names)) == 4 and all(name.startswith(("spiral 100 %", "star 100 %")) for name in names)


def test_nothing_known_and_nothing_found_are_no_errors(surveyed):
    survey, codes = surveyed(empty=np.full(N, np.nan))
    assert texts(survey, codes) == [f"cluster {k}" for k in range(4)]
    assert find_names(survey, np.full(N, -1, np.int32)) == []


def test_the_sample_is_even_and_knows_small_clusters():
    codes = np.full(200_000, 0, np.int32)
    codes[:100] = 1
    sampled = sample(codes, 2)
    assert (sampled.code == 1).sum() == 100 and sampled.random.sum() == 50_000
    assert (np.diff(sampled.rows) > 0).all() and np.array_equal(codes[sampled.rows], sampled.code)
    assert sampled.random[sampled.code == 1].sum() < 100


def test_departures_are_of_medians_in_robust_units():
    random = np.random.default_rng(3)
    codes = np.repeat([0, 1], 500).astype(np.int32)
    values = random.normal(0, 2, 1000) + 6 * codes
    told = departures({"x": (values, "arcsec")}, sample(codes, 2), 2)
    assert told[1].text == f"x {in_figures(float(np.median(values[500:])))} arcsec"
    assert departures({"x": (random.normal(size=1000), "")}, sample(codes, 2), 2) == [None, None]


def drawn(picture):
    stream = io.BytesIO()
    Image.fromarray(picture.astype(np.uint8)).save(stream, "JPEG", quality=95)
    return stream.getvalue()


def galaxy(*, sigma=8.0, flat=1.0, colour=(1, 1, 1), peak=200.0):
    y, x = np.mgrid[-48:48, -48:48] + 0.5
    light = peak * np.exp(-(x**2 + (y * flat) ** 2) / (2 * sigma**2))
    return drawn(10 + light[:, :, None] * np.array(colour))


@pytest.mark.parametrize(
    "measure, little, much",
    [
        ("light", galaxy(peak=60), galaxy()),
        ("extent", galaxy(sigma=3), galaxy(sigma=12)),
        ("elongation", galaxy(), galaxy(flat=3)),
        ("colour", galaxy(colour=(0.3, 0.6, 1)), galaxy(colour=(1, 0.6, 0.3))),
    ],
)
def test_words_mean_what_is_seen(measure, little, much):
    place = list(WORDS).index(measure)
    assert measures(little)[place] < measures(much)[place] - 0.1


def test_no_picture_and_no_light_say_nothing():
    for jpeg in (b"", b"not a picture", drawn(np.full((40, 40, 3), 30))):
        assert np.isnan(measures(jpeg)).all()


def test_thumbnails_speak_where_the_catalogue_does_not(small_survey):
    from engine.maps.clustering.appearance import appearances

    light = np.array([measures(j)[0] for j in small_survey.thumbnails.read(range(len(small_survey)))])
    codes = (light > np.nanmedian(light)).astype(np.int32)
    told = appearances(small_survey, codes, 2)
    assert "bright" in told[1].text and told[1].why.startswith("its thumbnails, light")
    assert told[0] is None or "bright" not in told[0].text

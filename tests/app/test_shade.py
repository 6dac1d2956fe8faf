"""Shaders: order, transparency, means, and the selection over the rest."""

import numpy as np
import pytest

from app.columns import Values
from app.map import scales, shade
from app.map.colouring import Colouring, with_selection
from app.map.raster import Points, View
from app.theme import CATEGORY, DARK, LIGHT, density_scale, theme, value_scale
from engine.maps.drawing.tiles import TileIndex


def grey_ramp() -> np.ndarray:
    return np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, axis=1)


def test_empty_pixels_are_transparent_and_denser_ones_never_darker():
    counts = np.random.default_rng(0).poisson(2.0, (40, 50)).astype(np.float32)
    rgba = shade.shade_count(counts, counts, grey_ramp(), 0.1)
    assert (rgba[counts == 0] == 0).all() and (rgba[counts > 0][:, 3] == 255).all()
    order = np.argsort(counts, axis=None)
    shown = rgba[:, :, 0].ravel()[order][counts.ravel()[order] > 0].astype(int)
    assert (np.diff(shown) >= 0).all() and shown[0] >= 25 and shown[-1] == 255


def test_equalising_spends_the_scale_evenly():
    counts = np.exp(np.random.default_rng(0).normal(3, 1.5, (200, 200))).astype(np.float32)
    shown = shade.shade_count(counts, counts, grey_ramp(), 0.0)[:, :, 0]
    assert np.allclose(np.percentile(shown, [25, 50, 75]), [64, 128, 191], atol=8)


@pytest.mark.parametrize("scale", scales.SCALES)
def test_nothing_in_view_is_no_error(scale):
    empty, lut = np.zeros((3, 4), np.float32), grey_ramp()
    grey = np.zeros(3, np.uint8)
    table = scales.value_table(lut, np.full(5, np.nan, np.float32), scale)
    assert not shade.shade_count(empty, empty, lut, 0.1, scale=scale).any()
    assert not shade.shade_value(empty, empty, table, (0.0, 1.0), grey, 0.5).any()
    assert not shade.shade_category(np.zeros((3, 4, 4), np.float32), 0.5).any()


def test_smoothing_equals_running_means():
    counts = np.random.default_rng(1).poisson(0.5, (23, 31)).astype(np.float32)
    for reach in (0, 1, 3, 16, 40):
        slow = counts.astype(np.float64)
        for _ in range(2 if reach else 0):
            for axis in (0, 1):
                padded = np.pad(slow, [(reach, reach) if a == axis else (0, 0) for a in (0, 1)])
                slow = np.stack(
                    [np.take(padded, range(k, k + slow.shape[axis]), axis=axis) for k in range(2 * reach + 1)]
                ).mean(axis=0)
        assert np.allclose(shade.smooth(counts, reach), slow, atol=1e-4)


def test_a_value_is_the_mean_and_unknown_is_grey():
    weight = np.array([[1, 2, 3, 0]], np.float32)
    known = np.array([[1, 2, 0, 0]], np.float32)
    total = np.array([[10, 10, 0, 0]], np.float32)
    grey = np.array([9, 8, 7], np.uint8)
    column = np.linspace(-0.2, 10.2, 1001, dtype=np.float32)  # its 2nd and 98th percentile are 0 and 10
    limits = scales.value_range(column)
    assert limits == pytest.approx((0, 10), abs=0.02)
    table = scales.value_table(grey_ramp(), column)
    rgba = shade.shade_value(*shade.means(weight, total, known), table, limits, grey, 0.5)
    assert rgba[0, 0, 0] == 255 and rgba[0, 1, 0] == pytest.approx(127, abs=1)
    assert tuple(rgba[0, 2, :3]) == (9, 8, 7) and rgba[0, 3, 3] == 0


def test_categories_mix_by_their_counts():
    sums = np.array([[[4, 3 * 200, 100, 0], [0, 0, 0, 0]]], np.uint32)
    for kind in (np.uint32, np.float32):
        rgba = shade.shade_category(sums.astype(kind), 0.5)
        assert tuple(rgba[0, 0, :3]) == (150, 25, 0) and rgba[0, 1, 3] == 0
    colours = np.array([[200, 0, 0], [0, 100, 0]], np.uint8)
    sums = shade.mixed(np.array([[4, 0]], np.uint32), np.array([[1, 255]], np.uint8), colours)
    assert tuple(shade.shade_category(sums, 0.5)[0, 0, :3]) == (0, 100, 0)


def test_members_cover_the_rest_which_is_dimmed():
    front, back = np.zeros((1, 2, 4), np.uint8), np.zeros((1, 2, 4), np.uint8)
    front[0, 0] = 255, 255, 255, 255
    back[0, :] = 100, 50, 0, 200
    out = shade.over(front, back, 0.25)
    assert tuple(out[0, 0]) == (255, 255, 255, 255)
    assert tuple(out[0, 1]) == (100, 50, 0, 50)


@pytest.mark.parametrize("scale", scales.SCALES)
def test_scales_rise_with_the_value_from_end_to_end(scale):
    values = np.exp(np.random.default_rng(0).normal(size=20_000)).astype(np.float32)
    lo, hi = scales.value_range(values, scale)
    at = np.linspace(lo, hi, 200)
    place = scales.position(at, values, scale)
    assert place[0] == 0 and place[-1] == pytest.approx(1) and (np.diff(place) >= 0).all()
    assert scales.position(np.array([lo / 2, hi * 2]), values, scale).tolist() == [0, 1]
    for share in (0.25, 0.5, 0.9):
        value = scales.inverse(share, values, scale)
        assert scales.position(np.array([value]), values, scale)[0] == pytest.approx(share, abs=0.02)


def test_an_equalised_column_has_every_colour_equally_often():
    values = np.exp(np.random.default_rng(0).normal(size=20_000)).astype(np.float32)
    table, limits = scales.value_table(grey_ramp(), values, "equalised"), scales.value_range(values)
    mean = values[None, :]
    rgba = shade.shade_value(np.ones_like(mean), mean, table, limits, np.zeros(3, np.uint8), 1.0)
    assert np.allclose(np.percentile(rgba[0, :, 0], [25, 50, 75]), [64, 128, 191], atol=6)


@pytest.mark.parametrize("scale", ["log", "linear"])
def test_a_density_on_a_scale_of_its_own(scale):
    counts = np.array([[0, 1, 10, 100]], np.float32)
    rgba = shade.shade_count(np.sign(counts), counts, grey_ramp(), 0.0, scale=scale)
    share = {"log": [0, 0.5, 1], "linear": [0.01, 0.1, 1]}[scale]
    assert rgba[0, 0, 3] == 0 and np.allclose(rgba[0, 1:, 0] / 255, share, atol=0.03)
    assert shade.ends(np.sign(counts), counts, scale) == pytest.approx((1 if scale == "log" else 0, 100), rel=0.05)


@pytest.mark.parametrize(
    "values, expected",
    [
        (np.arange(101, dtype=np.float32), (2, 98)),
        (np.array([np.nan, np.inf]), (0, 1)),
        (np.full(9, 3.0), (2.5, 3.5)),
    ],
)
def test_scales_cover_what_is_known(values, expected):
    assert scales.value_range(values) == pytest.approx(expected)


def test_drawing_counts_what_is_in_view_and_not_its_margin():
    xy = np.random.default_rng(2).random((4000, 2)).astype(np.float32)
    codes = (np.arange(4000) % 3 - 1).astype(np.int8)
    points = Points(TileIndex.build(xy))
    view = View(0.2, 0.2, 0.8, 0.7, 60, 50)
    inside = ((xy > [0.2, 0.2]) & (xy < [0.8, 0.7])).all(axis=1)
    wide = view.grown(0.2)
    margin = (wide.width - view.width) // 2, (wide.height - view.height) // 2
    for values in (None, Values("c", "number", xy[:, 0].copy()), Values("k", "category", codes, ("a", "b"))):
        colouring = Colouring(values, dark=True)
        picture = colouring.draw(points, wide, margin=margin)
        assert picture.rgba.shape == (wide.height, wide.width, 4)
        assert picture.counts.sum() == inside.sum()
    assert picture.counts.tolist() == [(inside & (codes == k)).sum() for k in (0, 1, -1)]
    assert with_selection(picture, picture).shape == picture.rgba.shape


def contrast(first: str, second: str) -> float:
    """Contrast ratio of two colours (WCAG 2)."""

    def luminance(colour):
        c = np.array(scales.rgb(colour)) / 255
        return np.where(c <= 0.03928, c / 12.92, ((c + 0.055) / 1.055) ** 2.4) @ [0.2126, 0.7152, 0.0722]

    low, high = sorted((luminance(first), luminance(second)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("shown", [DARK, LIGHT], ids=lambda t: t.name)
def test_text_and_marks_can_be_read(shown):
    for ground in (shown.ground, shown.panel):
        assert contrast(shown.text, ground) > 10 and contrast(shown.muted, ground) > 4.5
        for mark in (shown.accent, shown.yes, shown.no, shown.unsure):
            assert contrast(mark, ground) > 3
    assert contrast(shown.on_accent, shown.accent) > 4.5


@pytest.mark.parametrize("dark", [True, False])
def test_no_end_of_a_scale_vanishes_in_the_ground(dark):
    for scale in (density_scale(dark)[26:], value_scale(dark), value_scale(dark, True)):
        worst = min(contrast("#{:02x}{:02x}{:02x}".format(*map(int, c)), theme(dark).ground) for c in scale)
        assert worst > 1.3
    assert len(set(CATEGORY)) == 20


#: What is left of linear red, green and blue without one kind of cone (Machado, Oliveira & Fernandes 2009, IEEE TVCG 15, 1291).
SEEN = {
    "all cones": np.eye(3),
    "no red cones": [[0.152, 1.053, -0.205], [0.115, 0.786, 0.099], [-0.004, -0.048, 1.052]],
    "no green cones": [[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]],
}


def oklab(linear: np.ndarray) -> np.ndarray:
    """Colours in OKLab (Ottosson 2020), times 100: equal steps look alike."""
    cones = np.array([[0.4122, 0.5363, 0.0514], [0.2119, 0.6807, 0.1074], [0.0883, 0.2817, 0.6300]])
    lab = np.array([[0.2105, 0.7936, -0.0041], [1.9780, -2.4286, 0.4506], [0.0259, 0.7828, -0.8087]])
    return 100 * np.cbrt(np.clip(linear, 0, 1) @ cones.T) @ lab.T


@pytest.mark.parametrize("seen", SEEN)
def test_categories_differ_for_everybody(seen):
    colours = np.array([scales.rgb(colour) for colour in CATEGORY]) / 255
    linear = np.where(colours <= 0.04045, colours / 12.92, ((colours + 0.055) / 1.055) ** 2.4)
    places = oklab(linear @ np.array(SEEN[seen]).T)
    distance = np.linalg.norm(places[:, None] - places, axis=2) + 99 * np.eye(len(places))
    assert distance.min() > 6 and distance[:6, :6].min() > 9


@pytest.mark.parametrize("dark", [True, False])
def test_scales_rise_or_fall_in_lightness_throughout(dark):
    for scale in (density_scale(dark), value_scale(dark), value_scale(dark, True)):
        colours = scale / 255
        linear = np.where(colours <= 0.04045, colours / 12.92, ((colours + 0.055) / 1.055) ** 2.4)
        step = np.diff(oklab(linear)[::8, 0])
        assert (step > 0).all() or (step < 0).all()

"""What each class of the simulated survey looks like above the atmosphere: how its light is laid out on the stamps.

A painter takes the canvas, a random generator and the members of its class in one slab, and adds their light. Total
flux and half-light radius are given; a painter chooses structure: inclination, arms, bars, knots, tails. Flux is in
nanomaggies (zero point 22.5 AB), lengths in pixels.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from engine.data.simulation import profiles
from engine.data.simulation.profiles import Ellipses

ZERO_POINT = 22.5

Rng = np.random.Generator


@dataclass(frozen=True)
class Members:
    """K objects of one class: stamp number, centre and half-light radius (pixels), r magnitude, colours g−r and r−z."""

    stamp: np.ndarray
    x: np.ndarray
    y: np.ndarray
    radius: np.ndarray
    mag: np.ndarray
    gr: np.ndarray
    rz: np.ndarray

    def __len__(self) -> int:
        return len(self.stamp)

    def flux(self, share: np.ndarray | float = 1.0, *, redder: np.ndarray | float = 0.0) -> np.ndarray:
        """Flux in g, r, z of a part with `share` of the r light that is `redder` in g−r (and 0.8 of that in r−z)."""
        gr, rz = self.gr + redder, self.rz + 0.8 * np.asarray(redder)
        magnitudes = np.stack(np.broadcast_arrays(self.mag + gr, self.mag, self.mag - rz), axis=-1)
        return 10 ** (0.4 * (ZERO_POINT - magnitudes)) * np.broadcast_to(share, self.mag.shape)[:, None]

    def subset(self, which: np.ndarray) -> Members:
        """Some of them."""
        return Members(*(v[which] for v in (self.stamp, self.x, self.y, self.radius, self.mag, self.gr, self.rz)))

    def ellipses(self, ratio: np.ndarray, angle: np.ndarray, *, scale: np.ndarray | float = 1.0) -> Ellipses:
        """Their places as ellipses whose semi-major axes are `scale` times their radius."""
        return Ellipses(self.x, self.y, np.maximum(self.radius * scale, 0.15), ratio, angle)


class Canvas:
    """The light of a slab of stamps: what the atmosphere will blur, and points, which are seeing alone.

    Parameters
    ----------
    stamps, bands, side : int
    """

    def __init__(self, stamps: int, bands: int, side: int):
        self.side = side
        self.light = np.zeros((bands, stamps, side, side), np.float32)
        self.points: list[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]] = []

    def add(self, profile: np.ndarray, stamp: np.ndarray, flux: np.ndarray) -> None:
        """Add K profiles (K, side, side) of flux (K, bands) to stamps (K,)."""
        for row, (number, level) in enumerate(zip(stamp, np.asarray(flux, np.float32))):
            for band, amount in enumerate(level):
                self.light[band, number] += profile[row] * amount

    def sersic(self, shape: Ellipses, index: np.ndarray | float, stamp: np.ndarray, flux: np.ndarray) -> None:
        """Add K Sersic profiles."""
        index = np.broadcast_to(np.asarray(index, np.float64), stamp.shape)
        self.add(profiles.sersic(shape, index, self.side), stamp, flux)

    def knots(self, x: np.ndarray, y: np.ndarray, width: np.ndarray, flux: np.ndarray, stamp: np.ndarray) -> None:
        """Add J blobs (P, J) of flux (P, J, bands) to P different stamps."""
        if len(stamp):
            self.light[:, stamp] += np.moveaxis(profiles.blobs(x, y, width, flux, self.side), 1, 0)

    def point(self, x: np.ndarray, y: np.ndarray, stamp: np.ndarray, flux: np.ndarray) -> None:
        """Add K point sources."""
        self.points.append((x, y, stamp, flux))


def _angles(rng: Rng, count: int) -> np.ndarray:
    return rng.uniform(0, np.pi, count)


def _inclinations(rng: Rng, count: int, lowest: float) -> np.ndarray:
    """Axis ratios of thin discs seen from random sides, no flatter than `lowest`."""
    return np.sqrt(rng.uniform(lowest, 1, count) ** 2 * 0.97 + 0.03)


def paint_elliptical(canvas: Canvas, rng: Rng, members: Members) -> None:
    """Sersic index 3-6, rounder than discs; one in six has a faint shell or envelope."""
    k = len(members)
    ratio, angle = rng.uniform(0.5, 1.0, k), _angles(rng, k)
    envelope = np.where(rng.random(k) < 0.16, rng.uniform(0.1, 0.25, k), 0.0)
    index = rng.uniform(3.0, 6.0, k)
    canvas.sersic(members.ellipses(ratio, angle), index, members.stamp, members.flux(1 - envelope))
    some = np.flatnonzero(envelope)
    if len(some):
        part = members.subset(some)
        canvas.sersic(
            part.ellipses(ratio[some] ** 0.5, angle[some], scale=2.5), 1.0, part.stamp, part.flux(envelope[some])
        )


def paint_spiral(canvas: Canvas, rng: Rng, members: Members) -> None:
    """Bulge, exponential disc, two to four bluer logarithmic arms with knots, and a bar in every third."""
    k = len(members)
    ratio, angle = _inclinations(rng, k, 0.3), _angles(rng, k)
    bulge = np.clip(rng.lognormal(np.log(0.13), 0.7, k), 0.01, 0.5)
    bar = np.where(rng.random(k) < 0.33, rng.uniform(0.06, 0.18, k), 0.0)
    arm = rng.uniform(0.25, 0.55, k) * (1 - bulge - bar)
    knots = rng.uniform(0.03, 0.12, k) * (1 - bulge - bar)
    disc = members.ellipses(ratio, angle)
    canvas.sersic(
        members.ellipses(ratio**0.4, angle, scale=rng.uniform(0.15, 0.35, k)),
        rng.uniform(1.5, 4, k),
        members.stamp,
        members.flux(bulge, redder=0.22),
    )
    canvas.sersic(disc, 1.0, members.stamp, members.flux(1 - bulge - bar - arm - knots, redder=0.03))
    some = np.flatnonzero(bar)
    if len(some):
        part = members.subset(some)
        turned = angle[some] + rng.normal(0, 0.5, len(some))
        canvas.sersic(
            part.ellipses(rng.uniform(0.2, 0.4, len(some)), turned, scale=0.6),
            0.6,
            part.stamp,
            part.flux(bar[some], redder=0.15),
        )
    count = rng.choice([2, 2, 2, 3, 4], k).astype(float)
    pitch, phase = np.radians(rng.uniform(10, 30, k)) * rng.choice([-1, 1], k), rng.uniform(0, 2 * np.pi, k)
    ragged = np.abs(rng.normal(0, 0.35, k))
    canvas.add(
        profiles.arms(disc, count, pitch, phase, rng.uniform(1.0, 4.0, k), ragged, canvas.side),
        members.stamp,
        members.flux(arm, redder=-0.12),
    )
    _arm_knots(canvas, rng, members, disc, (count, pitch, phase), knots)


def _arm_knots(canvas: Canvas, rng: Rng, members: Members, disc: Ellipses, pattern: tuple, share: np.ndarray) -> None:
    """Star-forming knots strung along the crests of the arms."""
    k, each = len(members), 14
    count, pitch, phase = (v[:, None] for v in pattern)
    radius = rng.gamma(4.0, 0.32, (k, each)).clip(0.3, 3)
    crest = np.log(radius) / np.tan(pitch) + (2 * np.pi * rng.integers(0, 4, (k, each)) - phase) / count
    theta = crest + rng.normal(0, 0.12, (k, each))
    x, y = _on_sky(disc, radius, theta)
    weight = rng.pareto(1.6, (k, each)) + 0.1
    flux = members.flux(share, redder=-0.35)[:, None, :] * (weight / weight.sum(axis=1, keepdims=True))[..., None]
    width = np.maximum(0.05 * disc.radius[:, None] * rng.uniform(0.6, 2, (k, each)), 0.4)
    canvas.knots(x, y, width, flux, members.stamp)


def _on_sky(disc: Ellipses, radius: np.ndarray, theta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pixel positions (K, J) of points at polar coordinates in the discs' planes, radius in units of theirs."""
    u = disc.radius[:, None] * radius * np.cos(theta)
    v = (disc.radius * disc.ratio)[:, None] * radius * np.sin(theta)
    cos, sin = np.cos(disc.angle)[:, None], np.sin(disc.angle)[:, None]
    return disc.x[:, None] + u * cos - v * sin, disc.y[:, None] + u * sin + v * cos


def paint_edge_on(canvas: Canvas, rng: Rng, members: Members) -> None:
    """A disc from its side, sech² in height, with a bulge and in half of them a dust lane, deepest in blue."""
    k = len(members)
    angle, thickness = _angles(rng, k), rng.uniform(0.09, 0.24, k)
    bulge = np.where(rng.random(k) < 0.7, rng.uniform(0.03, 0.35, k), 0.0)
    disc = members.ellipses(thickness, angle, scale=1 / 1.3)
    light = profiles.edge_on(disc, canvas.side)
    flux = members.flux(1 - bulge)
    canvas.add(light, members.stamp, flux)
    core = members.ellipses(rng.uniform(0.5, 0.9, k), angle, scale=rng.uniform(0.12, 0.3, k))
    canvas.sersic(core, rng.uniform(1.5, 4, k), members.stamp, members.flux(bulge, redder=0.2))
    depth = np.where(rng.random(k) < 0.5, rng.uniform(0.4, 0.9, k), 0.0)
    dust = profiles.lane(disc, rng.uniform(0.25, 0.5, k), rng.normal(0, 0.35, k), canvas.side)
    canvas.add(light * dust, members.stamp, -flux * depth[:, None] * np.array([1.0, 0.85, 0.6]))


def paint_dwarf(canvas: Canvas, rng: Rng, members: Members) -> None:
    """Diffuse, Sersic index 0.5-1.2; the blue are often lopsided and clumpy, the red smooth and sometimes nucleated.

    Their radius is that of the circle of equal area, so that their surface brightness is what was asked for.
    """
    k = len(members)
    blue = members.gr < 0.48
    irregular = blue & (rng.random(k) < 0.65)
    nucleus = np.where(~blue & (rng.random(k) < 0.4), rng.uniform(0.015, 0.06, k), 0.0)
    clumps = np.where(irregular, rng.uniform(0.05, 0.2, k), 0.0)
    lopsided = np.where(irregular, rng.uniform(0.15, 0.4, k), 0.0)
    ratio, angle = np.where(blue, rng.uniform(0.4, 1, k), rng.uniform(0.6, 1, k)), _angles(rng, k)
    body = members.ellipses(ratio, angle, scale=1 / np.sqrt(ratio))
    canvas.sersic(body, rng.uniform(0.5, 1.2, k), members.stamp, members.flux(1 - nucleus - clumps - lopsided))
    canvas.point(members.x, members.y, members.stamp, members.flux(nucleus))
    side_x, side_y = _on_sky(body, rng.uniform(0.2, 0.7, (k, 1)), rng.uniform(0, 2 * np.pi, (k, 1)))
    patch = Ellipses(
        side_x[:, 0], side_y[:, 0], members.radius * rng.uniform(0.35, 0.7, k), rng.uniform(0.4, 1, k), _angles(rng, k)
    )
    canvas.sersic(patch, 0.8, members.stamp, members.flux(lopsided, redder=-0.1))
    each = 7
    x, y = _on_sky(body, np.abs(rng.normal(0, 0.8, (k, each))), rng.uniform(0, 2 * np.pi, (k, each)))
    weight = rng.pareto(1.5, (k, each)) + 0.1
    flux = members.flux(clumps, redder=-0.25)[:, None, :] * (weight / weight.sum(axis=1, keepdims=True))[..., None]
    canvas.knots(x, y, rng.uniform(0.5, 1.4, (k, each)), flux, members.stamp)


def paint_ring(canvas: Canvas, rng: Rng, members: Members) -> None:
    """A red core, sometimes off-centre, a faint disc and a blue ring with knots."""
    k = len(members)
    ratio, angle = _inclinations(rng, k, 0.45), _angles(rng, k)
    core, ring = rng.uniform(0.25, 0.55, k), rng.uniform(0.3, 0.45, k)
    offset = np.where(rng.random(k) < 0.3, rng.uniform(0.1, 0.4, k), 0.0)
    hoop = members.ellipses(ratio, angle, scale=1.25)
    x, y = _on_sky(hoop, offset[:, None], rng.uniform(0, 2 * np.pi, (k, 1)))
    nucleus = Ellipses(x[:, 0], y[:, 0], np.maximum(members.radius * 0.28, 0.8), rng.uniform(0.7, 1, k), angle)
    canvas.sersic(nucleus, rng.uniform(1.5, 4, k), members.stamp, members.flux(core, redder=0.25))
    disc = np.maximum(1 - core - ring - 0.08, 0.02)
    canvas.sersic(members.ellipses(ratio, angle), 1.0, members.stamp, members.flux(disc))
    uneven = np.where(rng.random(k) < 0.5, 50.0, rng.uniform(1.2, 2.5, k))
    light = profiles.annulus(hoop, rng.uniform(0.08, 0.18, k), rng.uniform(-np.pi, np.pi, k), uneven, canvas.side)
    canvas.add(light, members.stamp, members.flux(ring, redder=-0.2))
    each = 12
    x, y = _on_sky(hoop, 1 + rng.normal(0, 0.06, (k, each)), rng.uniform(0, 2 * np.pi, (k, each)))
    weight = rng.pareto(1.5, (k, each)) + 0.1
    flux = members.flux(0.08, redder=-0.35)[:, None, :] * (weight / weight.sum(axis=1, keepdims=True))[..., None]
    canvas.knots(x, y, rng.uniform(0.5, 1.1, (k, each)), flux, members.stamp)


def paint_merger(canvas: Canvas, rng: Rng, members: Members) -> None:
    """Two discs with bulges, close together, a tidal tail from each, a bridge's worth of knots."""
    k = len(members)
    second, tail = rng.uniform(0.15, 0.45, k), rng.uniform(0.08, 0.22, k)
    towards, apart = rng.uniform(0, 2 * np.pi, k), members.radius * rng.uniform(1.2, 2.6, k) + 3
    for sign, share in ((-1, (1 - second) * (1 - tail - 0.04)), (1, second * (1 - tail - 0.04))):
        reach = apart * np.where(sign < 0, 0.25, 0.75) * sign
        x, y = members.x + reach * np.cos(towards), members.y + reach * np.sin(towards)
        size = members.radius * np.sqrt(share) * 0.9
        ratio, angle = _inclinations(rng, k, 0.4), _angles(rng, k)
        bulge = rng.uniform(0.2, 0.6, k)
        redder = rng.normal(0, 0.1, k)
        canvas.sersic(
            Ellipses(x, y, np.maximum(size, 0.5), ratio, angle),
            1.0,
            members.stamp,
            members.flux(share * (1 - bulge), redder=redder),
        )
        canvas.sersic(
            Ellipses(x, y, np.maximum(0.25 * size, 0.4), ratio**0.4, angle),
            2.5,
            members.stamp,
            members.flux(share * bulge, redder=redder + 0.12),
        )
        _tail(canvas, rng, members, (x, y), towards + (np.pi if sign < 0 else 0), tail * rng.uniform(0.3, 0.7, k))
    each = 8
    spread = members.radius[:, None]
    x = members.x[:, None] + rng.normal(0, 0.7, (k, each)) * spread
    y = members.y[:, None] + rng.normal(0, 0.7, (k, each)) * spread
    flux = np.repeat(members.flux(0.04, redder=-0.4)[:, None] / each, each, axis=1)
    canvas.knots(x, y, rng.uniform(0.5, 1.2, (k, each)), flux, members.stamp)


def _tail(canvas: Canvas, rng: Rng, members: Members, start: tuple, away: np.ndarray, share: np.ndarray) -> None:
    """An arc of stars flung from `start`, curving off the direction `away`."""
    k = len(members)
    bend = rng.choice([-1.0, 1.0], k)
    radius = members.radius * rng.uniform(1.2, 2.4, k) + 4
    x, y = (s + radius * f(away + bend * np.pi / 2) for s, f in zip(start, (np.cos, np.sin)))
    spread = rng.uniform(0.45, 0.9, k)
    arc = Ellipses(x, y, radius, np.ones(k), np.zeros(k))
    # The galaxy lies at the start of the arc, so the middle of the arc is one spread further round.
    middle = away - bend * np.pi / 2 + bend * spread
    light = profiles.annulus(arc, rng.uniform(0.06, 0.14, k), middle, spread, canvas.side)
    canvas.add(light, members.stamp, members.flux(share, redder=-0.1))


def paint_lens(canvas: Canvas, rng: Rng, members: Members) -> None:
    """A red elliptical that bends a blue galaxy behind it into an arc and a counter-image, one in eight into a ring."""
    k = len(members)
    angle, ratio = _angles(rng, k), rng.uniform(0.65, 1, k)
    canvas.sersic(members.ellipses(ratio, angle), 4.0, members.stamp, members.flux())
    source = Members(
        members.stamp,
        members.x,
        members.y,
        members.radius,
        rng.uniform(19.4, 21.2, k),
        rng.uniform(-0.1, 0.35, k),
        rng.uniform(-0.1, 0.3, k),
    )
    einstein = rng.uniform(5.5, 12.5, k)
    circle = Ellipses(members.x, members.y, einstein, rng.uniform(0.85, 1, k), angle)
    towards, ring = rng.uniform(-np.pi, np.pi, k), rng.random(k) < 0.125
    spread = np.where(ring, 30.0, rng.uniform(0.25, 0.75, k))
    main = profiles.annulus(circle, rng.uniform(0.04, 0.09, k), towards, spread, canvas.side)
    canvas.add(main, members.stamp, source.flux(np.where(ring, 1.0, 0.75)))
    inner = Ellipses(circle.x, circle.y, 0.75 * einstein, circle.ratio, angle)
    opposite = towards + np.pi + rng.normal(0, 0.2, k)
    counter = profiles.annulus(inner, np.full(k, 0.1), opposite, 0.4 * spread, canvas.side)
    canvas.add(counter, members.stamp, source.flux(np.where(ring, 0.0, 0.25)))


def paint_star(canvas: Canvas, rng: Rng, members: Members) -> None:
    """A point; one in ten is a close double."""
    double = np.where(rng.random(len(members)) < 0.1, rng.uniform(0.1, 0.45, len(members)), 0.0)
    canvas.point(members.x, members.y, members.stamp, members.flux(1 - double))
    apart, towards = rng.uniform(3.5, 9, len(members)), rng.uniform(0, 2 * np.pi, len(members))
    canvas.point(
        members.x + apart * np.cos(towards),
        members.y + apart * np.sin(towards),
        members.stamp,
        members.flux(double, redder=0.2),
    )


def paint_neighbours(canvas: Canvas, rng: Rng, members: Members) -> None:
    """Whatever else is in the field: one in four a star, the others plain discs and spheroids."""
    k = len(members)
    star = rng.random(k) < 0.25
    stars, galaxies = members.subset(star), members.subset(~star)
    canvas.point(stars.x, stars.y, stars.stamp, stars.flux())
    count = len(galaxies)
    index = np.where(rng.random(count) < 0.7, rng.uniform(0.8, 1.6, count), rng.uniform(2.5, 5, count))
    canvas.sersic(
        galaxies.ellipses(_inclinations(rng, count, 0.3), _angles(rng, count)), index, galaxies.stamp, galaxies.flux()
    )


#: class → painter. Artefacts have none: they are no light from the sky.
PAINTERS: dict[str, Callable[[Canvas, Rng, Members], None]] = {
    "elliptical": paint_elliptical,
    "spiral": paint_spiral,
    "edge-on": paint_edge_on,
    "dwarf": paint_dwarf,
    "ring": paint_ring,
    "merger": paint_merger,
    "lens": paint_lens,
    "star": paint_star,
}

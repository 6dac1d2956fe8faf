"""Which FITS files, or images of a file, are the bands of one object: told by folders, by names, by extensions.

    g/123.fits  r/123.fits            a folder a band
    123_g.fits  123_r.fits            a file a band: one word of the name is a filter
    123/g.fits  123/r.fits
    123.fits with extensions G, R     an image a band

A word is what stands between ``_ - .`` and blanks; which words are filters is known by `engine.data.filters`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from engine.data.filters import wavelength
from engine.data.references import without_extension

#: Names of extensions, and words in names, that are no picture of the sky.
COMPANIONS = re.compile(
    r"^(err|error|dq|wht|weight|var|variance|ivar|invvar|mask|con|ctx|samp|time|model|residual.*|resid|psf|sigma|rms)\d*$",
    re.I,
)
#: Share of names that must tell their band, and of files that must have a partner in another one.
TELLING, PAIRED = 0.8, 0.5
#: Words that are looked at, from the end and from the beginning in turn: a survey's name comes first, its band last.
_WORDS = (-1, 0, -2, 1, -3, 2)


def is_companion(name: str) -> bool:
    """Whether one of a name's words says that this is a weight, a mask, a model or the like."""
    return any(COMPANIONS.match(word) for word in re.split(r"[_\-. ]+", name))


def split_bands(names: Sequence[str]) -> list[tuple[str, str] | None] | None:
    """Tell which word of names is their band.

    Parameters
    ----------
    names : sequence of str
        Stems of files, with folders, or extensions' names.

    Returns
    -------
    list of (what is left of the name, band), or None
        None for a name that tells no band; None altogether if names do not tell bands: too few do, there is but one band,
        or most have no partner in another band.
    """
    for place in _WORDS:
        found = [_without_word(name, place) for name in names]
        told = [f for f in found if f is not None]
        spelled: dict[str, str] = {}
        for _, band in told:
            spelled.setdefault(band.lower(), band)
        pairs = [(left, spelled[band.lower()]) for left, band in told]
        partners = Counter(left for left, _ in pairs)
        paired = sum(count for count in partners.values() if count > 1)
        if (
            len(spelled) > 1
            and len(set(pairs)) == len(pairs)
            and len(pairs) >= TELLING * len(names)
            and paired >= PAIRED * len(pairs)
        ):
            return [None if f is None else (f[0], spelled[f[1].lower()]) for f in found]
    return None


def _without_word(name: str, place: int) -> tuple[str, str] | None:
    """A name without its word at a place, and that word, if it is a filter."""
    folder, slash, stem = name.rpartition("/")
    words = re.split(r"([_\-. ]+)", stem)  # words at even places, what separates them between
    at = 2 * place if place >= 0 else len(words) - 1 + 2 * (place + 1)
    if not 0 <= at < len(words) or wavelength(words[at]) is None:
        return None
    before, after = "".join(words[: max(0, at - 1)]), "".join(words[at + 2 :])
    mark = words[at + 1] if before and after else ""
    return (folder + slash + before + mark + after).rstrip("/"), words[at]


def band_files(names: Sequence[str]) -> tuple[dict[str, dict[str, str]], list[str]]:
    """Files that are bands of objects by a word of their names.

    Parameters
    ----------
    names : sequence of str
        Files, with their extension.

    Returns
    -------
    files : dict
        Band → {id: file}; empty if names do not tell bands.
    passed : list of str
        Weights, masks and other companions, and names that tell no band.
    """
    likely = [n for n in names if not is_companion(without_extension(n.rpartition("/")[2]))]
    told = split_bands([without_extension(n) for n in likely]) if len(likely) > 1 else None
    if told is None:
        return {}, []
    keys = _shortest([found[0] for found in told if found is not None])
    files: dict[str, dict[str, str]] = {}
    for name, found in zip(likely, told):
        if found is not None:
            files.setdefault(found[1], {})[keys[found[0]]] = name
    used = {name for of_band in files.values() for name in of_band.values()}
    return files, [n for n in names if n not in used]


def _shortest(stems: Sequence[str]) -> dict[str, str]:
    """Stems → the same without folders, and without what all begin and end with, where they still differ."""
    unique = list(dict.fromkeys(stems))
    short = [s.rpartition("/")[2] for s in unique]
    if len(set(short)) < len(short):
        short = unique
    head, tail = _common_head(short), _common_head([s[::-1] for s in short])
    trimmed = [s[head : len(s) - tail] for s in short]
    good = all(trimmed) and len(set(trimmed)) == len(trimmed)
    return dict(zip(unique, trimmed if good else [s or "0" for s in short]))


def band_folders(names: Sequence[str]) -> dict[str, list[str]]:
    """Files by folder, if the folders are bands: all names are filters, or most objects occur in every one."""
    folders: dict[str, list[str]] = {}
    for name in names:
        folder, slash, _ = name.rpartition("/")
        if not slash or "/" in folder:
            return {}
        folders.setdefault(folder, []).append(name)
    if len(folders) < 2:
        return {}
    if all(wavelength(f) is not None for f in folders):
        return folders
    keys = [set(found) for found in band_file_ids(folders).values()]
    return folders if 2 * len(set.intersection(*keys)) > max(map(len, keys)) else {}


def band_file_ids(folders: dict[str, list[str]]) -> dict[str, dict[str, str]]:
    """Tell which files of band folders show the same object.

    The band's name is cut from each stem, then what all stems begin and end with, at separators:
    ``f115w/ceers_f115w_29700.fits`` → ``29700``.

    Parameters
    ----------
    folders : dict
        Band → file names ``BAND/STEM.fits``.

    Returns
    -------
    dict
        Band → {id: file name}.
    """
    cut: dict[str, dict[str, str]] = {}
    for band, names in folders.items():
        without = re.compile(rf"(^|[_\-. ])(?:{re.escape(band)})(?=$|[_\-. ])", re.I)
        stems = {without_extension(n.rpartition("/")[2]): n for n in names}
        cut[band] = {without.sub("", stem).strip("_-. ") or stem: name for stem, name in stems.items()}
    everything = [stem for names in cut.values() for stem in names]
    head, tail = _common_head(everything), _common_head([s[::-1] for s in everything])
    trimmed = {band: {s[head : len(s) - tail] or s: n for s, n in names.items()} for band, names in cut.items()}
    collides = any(len(trimmed[b]) != len(cut[b]) for b in cut)
    return cut if collides else trimmed


def _common_head(stems: list[str]) -> int:
    """Length of what all stems begin with, up to a separator; 0 for a single stem."""
    if len(set(stems)) < 2:
        return 0
    low, high = min(stems), max(stems)  # what these two share, all between them share
    same = next((k for k, (a, b) in enumerate(zip(low, high)) if a != b), min(len(low), len(high)))
    common = low[:same]
    return max(common.rfind(mark) for mark in "_-. ") + 1


def natural(key: str) -> tuple:
    return tuple((0, int(part), "") if part.isdigit() else (1, 0, part) for part in re.split(r"(\d+)", key) if part)

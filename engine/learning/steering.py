"""How a hunt is steered: which objects the next batch holds. Kept a target in the survey's ``steering.json``.

The shares are of each batch. `explore` goes from 0, exploit: every object is the best by the acquisition, to 1, explore: every
object is drawn where the model is least certain. `surprise` is drawn at random from all objects without a label, whatever the
model says: an unbiased sample, from which alone one can tell how much the others miss.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields, replace
from typing import TYPE_CHECKING

from engine import files
from engine.errors import UserError
from engine.learning.acquisition import choose

if TYPE_CHECKING:
    from engine.survey import Survey

FILE = "steering.json"
#: How the best of a batch are taken, in words.
BATCHES = {
    "best": "the highest acquisition",
    "diverse": "the highest, none the twin of another (kriging believer)",
}
#: What is shown before anything was found, in words.
COLD_STARTS = {
    "spread": "along the first component, then what is farthest from all that was looked at",
    "pc1": "spaced evenly along the first component (Protege)",
    "outliers": "the strangest first, where outlier scores are stored; else spread",
    "random": "at random",
}
#: Share of a batch that explores, once something was found: insurance against a second clump, for about 1 % of the
#: finds.
EXPLORE = 0.05
#: Target whose labels keep others away from what is no object of the sky.
ARTEFACT = "artefact"


@dataclass(frozen=True)
class Steering:
    """How the next batch is chosen; see the module.

    Attributes
    ----------
    acquisition : str
        A key of `engine.learning.acquisition.ACQUISITIONS`.
    explore : float
        Share of a batch drawn where the model is least certain, 0-1.
    surprise : float
        Share of a batch drawn at random, 0-1; of what is then left, `explore` explores.
    batch : {"best", "diverse"}
    cold_start : {"spread", "pc1", "outliers", "random"}
    hunted : str
        With a target of classes, which one is looked for; empty: the first.
    artefact : str
        Target whose positives are kept away; empty: none.
    """

    acquisition: str = "mean"
    explore: float = EXPLORE
    surprise: float = 0.0
    batch: str = "best"
    cold_start: str = "spread"
    hunted: str = ""
    artefact: str = ARTEFACT

    def __post_init__(self):
        choose(self.acquisition)
        for name, known in (("batch", BATCHES), ("cold_start", COLD_STARTS)):
            if getattr(self, name) not in known:
                raise UserError(
                    f"there is no {name.replace('_', ' ')} {getattr(self, name)!r}",
                    f"choose one of: {', '.join(known)}",
                )
        for name in ("explore", "surprise"):
            share = getattr(self, name)
            if isinstance(share, bool) or not isinstance(share, (int, float)) or not 0 <= share <= 1:
                raise UserError(f"{name} {share!r} is no share", "give a number from 0 to 1")
        for name in ("hunted", "artefact"):
            if not isinstance(getattr(self, name), str):
                raise UserError(f"{name} {getattr(self, name)!r} is no name", "give a text")

    def changed(self, **choices) -> Steering:
        """The same with some choices made anew; those that are None stay."""
        known = {f.name for f in fields(self)}
        if unknown := set(choices) - known:
            raise UserError(
                f"a hunt is not steered by {sorted(unknown)[0]!r}", f"choose from: {', '.join(sorted(known))}"
            )
        return replace(self, **{name: value for name, value in choices.items() if value is not None})


def read(survey: Survey, target: str) -> Steering:
    """How a target is steered: as kept, else by default."""
    said = _kept(survey).get(target)
    if said is None:
        return Steering()
    try:
        return Steering(**said)
    except TypeError as error:
        raise UserError(
            f"{survey.path / FILE} cannot be read ({error})", "mend it, or move it away: no label is in it"
        ) from error


def keep(survey: Survey, target: str, steering: Steering) -> None:
    """Keep how a target is steered, for the next time that the survey is opened; its stored scores are made anew then."""
    from engine.survey import check_name

    check_name(target)
    (survey.path / "scores" / f"{target}.json").unlink(missing_ok=True)
    files.write_json(survey.path / FILE, {**_kept(survey), target: asdict(steering)})


def _kept(survey: Survey) -> dict[str, dict]:
    path = survey.path / FILE
    if not path.exists():
        return {}
    try:
        found = files.read_json(path)
        return {str(name): dict(said) for name, said in found.items()}
    except (ValueError, TypeError, AttributeError) as error:
        raise UserError(f"{path} cannot be read ({error})", "mend it, or move it away: no label is in it") from error

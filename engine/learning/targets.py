"""What is hunted: a target's name, and how objects are labelled for it.

A target takes verdicts (yes, no, unsure), ratings from 0 to 5, or classes of its own ("spiral", "ring", "merger"). Any number
of targets share one label log. How one is labelled is declared in the survey's ``targets.json``; a target that is only in
the log is taken by the kind of most of its labels, and one that is nowhere takes verdicts.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from engine import files
from engine.errors import UserError

if TYPE_CHECKING:
    from engine.learning.labels import Current
    from engine.survey import Survey

#: Ways to label.
KINDS = ("verdicts", "ratings", "classes")
#: Most classes of a target: one a key.
MOST_CLASSES = 9
FILE = "targets.json"


@dataclass(frozen=True)
class Target:
    """A target.

    Attributes
    ----------
    name : str
    kind : {"verdicts", "ratings", "classes"}
    classes : tuple of str
        Names of the classes in the order of their keys, with kind "classes"; empty otherwise.
    """

    name: str
    kind: str = "verdicts"
    classes: tuple[str, ...] = ()

    def __post_init__(self):
        from engine.learning.labels import parse_value

        if self.kind not in KINDS:
            raise UserError(f"objects cannot be labelled with {self.kind!r}", f"choose one of: {', '.join(KINDS)}")
        if self.kind != "classes":
            if self.classes:
                raise UserError(f"a target labelled with {self.kind} has no classes", "leave the classes out")
            return
        if not 2 <= len(set(self.classes)) == len(self.classes) <= MOST_CLASSES:
            raise UserError(
                f"{len(self.classes)} classes are given for {self.name!r}",
                f"name 2 to {MOST_CLASSES} different classes",
            )
        for name in self.classes:
            if parse_value(name)[1] != "class":
                raise UserError(f"{name!r} is no name of a class", "use words other than yes, no, unsure and numbers")


def read(survey: Survey, name: str, current: Current | None = None) -> Target:
    """A target as it was declared, or as its labels are.

    Parameters
    ----------
    current : Current, optional
        Its labels; the survey's if not given.
    """
    declared = _declared(survey)
    if name in declared:
        return declared[name]
    current = survey.labels.current(name) if current is None else current
    kinds = Counter(current.kinds.tolist())
    most = kinds.most_common(1)[0][0] if kinds else "verdict"
    if most == "class":
        seen = Counter(v for v, k in zip(current.values.tolist(), current.kinds.tolist()) if k == "class")
        if len(seen) >= 2:
            return Target(name, "classes", tuple(sorted(c for c, _ in seen.most_common(MOST_CLASSES))))
    return Target(name, "ratings" if most == "rating" else "verdicts")


def names(survey: Survey) -> list[str]:
    """Every target that is declared or labelled, in order of the alphabet."""
    return sorted({*_declared(survey), *survey.labels.targets()})


def declare(survey: Survey, target: Target) -> None:
    """Say how a target is labelled. Labels of another kind stay in the log, and teach the learner nothing.

    Raises
    ------
    UserError
        If the name cannot be one of a target.
    """
    from engine.survey import check_name

    check_name(target.name)
    kept = {**_declared(survey), target.name: target}
    files.write_json(survey.path / FILE, {t.name: {"kind": t.kind, "classes": list(t.classes)} for t in kept.values()})


def _declared(survey: Survey) -> dict[str, Target]:
    path = survey.path / FILE
    if not path.exists():
        return {}
    try:
        found = files.read_json(path)
        return {
            name: Target(name, said["kind"], tuple(str(c) for c in said.get("classes", ())))
            for name, said in found.items()
        }
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path} cannot be read ({error})", "mend it, or move it away: labels are not in it") from error

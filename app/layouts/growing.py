"""Layouts as they are made: the newest look at the one that a job works on, ready to draw.

The job writes looks (`engine.maps.layouts.previews`); they are read and sorted into tiles in the store's thread whenever the job
reports progress, so a session only swaps points. What a job left behind when it was killed is removed here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from app.jobs import Job, Jobs
from app.layouts.stored import Placed
from engine.maps.drawing.tiles import TileIndex
from engine.maps.layouts import previews
from engine.maps.layouts.task import Settings, Task, framed, principal
from engine.survey import Survey

#: Behind the name of a layout that is not finished: an outline drawn on it belongs to no layout that stays.
UNFINISHED = " (growing)"


@dataclass(frozen=True)
class Grown:
    """A layout as it was a moment ago.

    Attributes
    ----------
    placed : Placed
        Its name ends with `UNFINISHED`.
    words : str
        The method, 'PCA' before the first epoch.
    done, total : int
        Epochs.
    job : int
        Number of the job that makes it.
    """

    placed: Placed
    words: str
    done: int
    total: int
    job: int


class Growing:
    """The layout that is being made of a survey.

    Parameters
    ----------
    publish : callable
        ``publish("growing", name)``, when there is another look or none any more (then without a name).
    """

    def __init__(self, survey: Survey, jobs: Jobs, publish: Callable[[str, str], None]):
        self._survey = survey
        self._folder = survey.path / "layouts"
        self._jobs, self._publish = jobs, publish
        self._number = self._job = 0
        self.now: Grown | None = None

    def begin(self, job: Job, representation: str) -> None:
        """Show the principal components while the job still starts: they are where it begins; call it in a thread."""
        running = self._jobs.current
        if running is None or running.number != job.number or self._job == job.number:
            return
        start = principal(Task(self._survey, representation, Settings()))
        xy = framed(start.xy, start.rows, len(self._survey))
        placed = Placed(f"{job.title}{UNFINISHED}", xy, TileIndex.build(xy))
        if self._job != job.number:  # the job may have been faster
            self.now = Grown(placed, "PCA", 0, 0, job.number)
            self._publish("growing", job.title)

    def look(self) -> None:
        """See what is new; takes as long as sorting the points, so call it in a thread."""
        job = self._jobs.current
        if not makes_layout(job) or job is None or job.over:
            self._end()
            return
        found = previews.look(self._folder, self._number if job.number == self._job else 0)
        if found is None:
            return
        self._number, self._job = found.number, job.number
        placed = Placed(f"{job.title}{UNFINISHED}", found.xy, TileIndex.build(found.xy))
        self.now = Grown(placed, found.words, found.done, found.total, job.number)
        self._publish("growing", found.name)

    def _end(self) -> None:
        previews.clear(self._folder)
        if self.now is not None:
            self.now = None
            self._publish("growing", "")


def makes_layout(job: Job | None) -> bool:
    """Whether a job makes a layout."""
    return job is not None and job.arguments[0] == "layout"

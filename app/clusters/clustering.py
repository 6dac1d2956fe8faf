"""What a person does with clusters: choose a clustering, make one, select, name and label a cluster.

`Acts` is where a click on a name, on the map or in the rail, becomes a selection, a name in the survey or labels; the
rail's section lists the clusters of the clustering in use and starts the command that makes another.
"""

from __future__ import annotations

import numpy as np
import panel as pn
import param

from app.background import Background
from app.columns import CATEGORIES
from app.frames import Component, pack, script, styles
from app.hunt.labelling import MOST, VERDICTS, Labelling, Outcome
from app.selections.selecting import Selecting
from app.state import State
from app.store import Store
from app.theme import category_colours, theme
from engine.errors import UserError
from engine.maps.clustering import clusters
from engine.maps.clustering.clusters import PREFIX, Clusters
from engine.search.find import Found

#: Clusters that are listed; of a thousand, the largest.
LISTED = 500
#: Where a new clustering can look: what the page calls it, method, and the option that names the source.
KINDS = {
    "dense": ("hdbscan", "layout"),
    "near": ("hdbscan", "representation"),
    "parts": ("kmeans", "representation"),
}


class Acts:
    """What can be done with one cluster, in a session.

    Parameters
    ----------
    state : State
    store : Store
    work : Background
        The session's thread: members of a cluster among 10⁷ objects take 10 ms, labels of 10⁵ a second.
    selecting : Selecting, optional
        How the session's selection changes, so that a cluster can be added to it or taken out; replaced if not given.
    """

    def __init__(self, state: State, store: Store, work: Background, selecting: Selecting | None = None):
        self.state, self.store, self._selecting = state, store, selecting
        self._work = work
        self._labelling = Labelling(state, store)

    def heard(self, message: dict) -> bool:
        """Do what a message of the page asks; False if it asks for nothing known here."""
        act = {"select": self.select, "only": self.only, "rename": self.rename, "label": self.label}
        kind, code = str(message.get("type")), message.get("code")
        if kind not in act or not isinstance(code, int) or isinstance(code, bool):
            return False
        if kind == "rename":
            self.rename(code, str(message.get("text", "")))
        elif kind == "label":
            self.label(code, str(message.get("value", "")), str(message.get("target", "")))
        elif kind == "only":
            self.only(code)
        else:
            self.select(code)
        return True

    def select(self, code: int, mode: str | None = None) -> None:
        """Select a cluster's members, or join them to the selection as the session has it."""
        name = self.state.clusters

        def find() -> Found:
            rows, called = self._members(name, code)
            return Found(rows, {"kind": "cluster", "clusters": name, "cluster": code, "name": called})

        def select(found: Found) -> None:
            self.state.select(found.rows, **found.how)

        if self._selecting is not None:
            self._selecting.choose(find, mode=mode)
        else:
            self._work.run("cluster", find, select, self._failed)

    def only(self, code: int) -> None:
        """Select a cluster's members and hide the others."""
        self.select(code, "replace")
        self.state.others = "hidden"

    def rename(self, code: int, text: str) -> None:
        """Give a cluster a name, for every session; an empty one takes a person's name back."""
        name = self.state.clusters

        def renamed(found: Clusters) -> None:
            self.store.publish("clusters", name)

        self._work.run("rename", lambda: clusters.rename(self.store.survey, name, code, text), renamed, self._failed)

    def label(self, code: int, value: str, target: str) -> None:
        """Give every member of a cluster a verdict; the page has asked before, for this target."""
        name, target = self.state.clusters, target or self.state.target
        if value not in VERDICTS:
            return

        def found(members: tuple[np.ndarray, str]) -> None:
            rows, called = members

            def done(outcome: Outcome) -> None:
                if outcome.good:
                    words = f"Labelled the {len(rows):,} objects of ‘{called}’ {target}: {value}. Z takes it back."
                    self.state.notice = ("success", words)

            view = {"tab": "map", "clusters": name, "cluster": code}
            self._labelling.label_later(rows, value, self._work, done, view=view, target=target)

        self._work.run("cluster label", lambda: self._members(name, code), found, self._failed)

    def _members(self, name: str, code: int) -> tuple[np.ndarray, str]:
        found = self.store.clusterings.get(name)
        return found.rows(code), found.clusters[code].name

    def _failed(self, error: UserError) -> None:
        self.state.notice = ("error", str(error))


def colours(names: tuple[str, ...], *, dark: bool) -> list[str]:
    """A colour for each cluster, as the map has it when it is coloured by them."""
    own = len(names) if len(names) <= CATEGORIES else CATEGORIES - 1
    return [*category_colours(names[:own], dark), *[theme(dark).muted] * (len(names) - own)]


class ClusterList(Component):
    """The rail's section on clusters, in the browser."""

    about = param.Dict({}, doc="Layouts, representations and numbers for the form.")

    _esm = script("clusters/clusters.js", "clusters/clustering.js")
    _stylesheets = [styles("clusters/clusters.css"), styles("clusters/clustering.css")]  # noqa: RUF012 (Panel's class attribute)


class ClusterView:
    """The section of one session.

    Parameters
    ----------
    state : State
    store : Store
    selecting : Selecting, optional
        See `Acts`.
    """

    def __init__(self, state: State, store: Store, selecting: Selecting | None = None):
        self.state, self.store = state, store
        self.awaits = ""  # what this session is having made
        self._work = Background(pn.state.curdoc)
        self._acts = Acts(state, store, self._work, selecting)
        self.part = ClusterList(self._heard, dark=state.dark, sizing_mode="stretch_width", margin=0)
        if state.clusters not in store.clusterings.names():
            state.clusters = next(iter(store.clusterings.names()), "")
        state.param.watch(lambda *_: self.show(), ["clusters", "clusters_version", "colour", "target", "selection_how"])
        state.param.watch(lambda event: self._tint(), ["dark"])
        state.param.watch(lambda event: self.show(), ["layout", "names"])
        self.show()

    def panel(self) -> ClusterList:
        """What the rail lays out."""
        return self.part

    def close(self) -> None:
        """End what belongs to the session."""
        self._work.close()

    def heard(self, kind: str, detail: str) -> None:
        """React to a change in the store."""
        if kind == "clusters":
            names = self.store.clusterings.names()
            if detail in names and (self.state.clusters not in names or detail == self.awaits):
                self.state.clusters, self.awaits = detail, ""
            elif self.state.clusters not in names:
                self.state.clusters = next(iter(names), "")
            self.state.clusters_version += 1
        elif kind in ("layouts", "jobs", "scores", "representation"):
            self.show()

    def _tint(self) -> None:
        self.part.dark = self.state.dark
        self.show()

    # -- what is shown -------------------------------------------------------------------------------------------------

    def show(self) -> None:
        """Tell the page what there is."""
        self._work.run("show", self._facts, self._tell, self._failed)

    def _facts(self) -> dict:
        """Everything the section shows."""
        names, survey = self.store.clusterings.names(), self.store.survey
        facts: dict = {
            "clusterings": names,
            "name": self.state.clusters,
            "layouts": self.store.layouts(),
            "layout": self.state.layout,
            "representations": survey.representations,
            "default": clusters.default_min_size(self.store.n),
            "parts": clusters.PARTS,
            "count": self.store.n,
            "items": [],
            "making": self._making(),
        }
        if self.state.clusters not in names:
            return facts
        found = self.store.clusterings.get(self.state.clusters)
        return (
            facts
            | {"items": items(found, LISTED, dark=self.state.dark), "none": found.none, "total": len(found)}
            | {
                "words": found.meta["words"],
                "target": self.state.target,
                "most": MOST,
                "coloured": self.state.colour == PREFIX + found.name,
                "names": self.state.names,
                "selected": self._selected(found.name),
            }
        )

    def _making(self) -> str:
        """What the job that finds clusters says, empty if none runs."""
        jobs = [j for j in self.store.jobs.all() if j.arguments[0] == "clusters" and not j.over]
        return (jobs[-1].stage or "waiting") if jobs else ""

    def _selected(self, name: str) -> int:
        how = self.state.selection_how
        chosen = self.state.selection is not None and how.get("kind") == "cluster" and how.get("clusters") == name
        return how.get("cluster", -1) if chosen else -1

    def _tell(self, facts: dict) -> None:
        self.part.frame = pack(facts)

    def _failed(self, error: UserError) -> None:
        self.state.notice = ("error", str(error))

    # -- what the page asks --------------------------------------------------------------------------------------------

    def _heard(self, message: dict) -> None:
        kind = message.get("type")
        if self._acts.heard(message):
            return
        if kind == "use" and str(message.get("name")) in self.store.clusterings.names():
            was = self.state.clusters
            self.state.clusters = message["name"]
            if self.state.colour == PREFIX + was:
                self.state.colour = PREFIX + self.state.clusters
        elif kind == "colour":
            column = PREFIX + self.state.clusters
            self.state.colour = "density" if self.state.colour == column else column
        elif kind == "names":
            turn_names(self.state)
        elif kind == "delete":
            self._delete(self.state.clusters)
        elif kind == "make":
            self._make(message)

    def _delete(self, name: str) -> None:
        if self.state.colour == PREFIX + name:
            self.state.colour = "density"

        def done(_) -> None:
            self.store.clusterings.clear()
            self.store.publish("clusters", "")
            self.store.publish("scores")

        self._work.run("delete", lambda: clusters.delete(self.store.survey, name), done, self._failed)

    def _make(self, message: dict) -> None:
        """Start the command that the form describes."""
        kind = str(message.get("kind"))
        if kind not in KINDS:
            return
        method, where = KINDS[kind]
        source = str(message.get("source", ""))
        there = self.store.layouts() if where == "layout" else self.store.survey.representations
        if source not in there:
            self.state.notice = ("error", f"There is no {where} to look at yet: make one first.")
            return
        options = ["--method", method, f"--{where}", source]
        for key, option in (("min_size", "--min-size"), ("k", "--k")):
            if isinstance(message.get(key), int) and message[key] >= 2:
                options += [option, str(message[key])]
        if message.get("finest") is True:
            options += ["--choice", "finest"]
        self.awaits = clusters.default_name(method, source)
        self.store.jobs.start("Clusters", "clusters", *options)


def items(found: Clusters, most: int, *, dark: bool) -> list[list]:
    """Clusters for the page, the largest first: code, count, name, what it rests on, whether a person named it, colour."""
    shades = colours(found.names, dark=dark)
    return [[c.code, c.count, c.name, c.why, c.own, shades[c.code]] for c in found.clusters[:most]]


def turn_names(state: State) -> None:
    """Write the names on the maps, or take them away; on both alike."""
    state.names = not state.names
    if state.second is not None:
        state.second.names = state.names
    if not state.clusters:
        state.notice = ("info", "No clusters have been found yet: ‘Clusters’ in the rail finds them.")

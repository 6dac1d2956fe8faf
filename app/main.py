"""The shell: one page a session, its views, what they share and what a reload brings back."""

from __future__ import annotations

import logging
from functools import partial

import numpy as np
import panel as pn
import panel_material_ui as pmui
from panel.util import edit_readonly
from panel_material_ui.template.base import Meta
from param.parameterized import discard_events

from app.chrome import Chrome
from app.gallery.view import GalleryView
from app.hunt.curves import CurvesView
from app.hunt.labelling import ARTEFACT
from app.hunt.likeness import TAB as SIMILAR
from app.hunt.likeness import LikenessView
from app.hunt.outlying import TAB as OUTLIERS
from app.hunt.outlying import OutlyingView
from app.hunt.reasons import ReasonsView
from app.hunt.steering import SteeringView
from app.inspector.view import InspectorView
from app.layouts.following import Following
from app.map.beside import Beside
from app.map.view import MapView
from app.pictures.stretching import StretchView
from app.selections.kept import Kept
from app.selections.lasting import Lasting
from app.selections.selecting import Selecting
from app.sidebar import JobList, Rail
from app.state import RESTORED, RESTORED_BESIDE, State
from app.store import Store
from app.theme import page_style, palette
from app.training.view import TrainingView
from engine.errors import UserError

log = logging.getLogger(__name__)

#: Pixels: the rail, the gallery at first, the window below which the rail starts folded, and that which has room for two maps.
RAIL, GALLERY, NARROW, ROOMY = 248, 432, 1080, 1500


class Session:
    """One browser page on a survey.

    Parameters
    ----------
    store : Store
    others : bool
        Whether the page leads to other surveys.
    """

    def __init__(self, store: Store, *, others: bool = False):
        self.store = store
        self.others = others
        own = store.stretch
        self.state = State(target=first_target(store), layout=first_layout(store), stretch=own, own_stretch=own)
        self.selecting = Selecting(self.state, store)
        self.lasting = Lasting(self.state, store, self.selecting)
        self._restore()
        self.kept = Kept(self.state, store, self.selecting)
        self.chrome = Chrome(margin=(0, 8), align="center", width=28, height=28)
        self.map = MapView(self.state, store, kept=self.kept)
        self.rail = Rail(self.state, store, self.kept)
        self.beside = Beside(self.state, store, self.rail.colours, self.kept)
        self.gallery = GalleryView(self.state, store)
        self.outlying = OutlyingView(self.state, store)
        self.gallery.put_above(self.outlying.panel(), OUTLIERS)
        self.likeness = LikenessView(self.state, store, self.kept.selecting)
        self.gallery.put_above(self.likeness.panel(), SIMILAR)
        self.steering = SteeringView(self.state, store, self.gallery.relist)
        self.gallery.put_above(self.steering.panel(), "suggestions")
        self.curves = CurvesView(self.state, store)
        self.gallery.put_above(self.curves.panel(), "suggestions")
        self.inspector = InspectorView(self.state, store)
        self.reasons = ReasonsView(self.state, store)
        self.stretching = StretchView(self.state, store)
        self.training = TrainingView(self.state, store)
        self.running = JobList(store, small=True, margin=(0, 8), align="center")
        self.page = self._page()
        self.following = Following(self.state, store, self.rail.layouts, self.map, self._offer_layouts)
        self._unsubscribe = store.subscribe(self._heard)
        self._watch()
        pn.state.on_session_destroyed(self.close)

    # -- what the page is made of --------------------------------------------------------------------------------------

    def _page(self) -> pmui.Page:
        drawer = pn.Column(
            self.inspector.panel(),
            self.reasons.panel(),
            css_classes=["inspector-drawer"],
            margin=0,
            visible=self.state.param.inspecting,
            styles={
                "position": "absolute",
                "right": "0",
                "top": "0",
                "bottom": "0",
                "z-index": "4",
                "width": "min(420px, max(300px, 28vw), 100%)",
                "overflow": "auto",
                "background": "var(--panel)",
                "border-left": "1px solid var(--line)",
            },
        )
        maps = pn.Row(
            self.map.panel(), self.beside.panel(), sizing_mode="stretch_both", margin=0, styles={"gap": "1px"}
        )
        centre = pn.Column(
            maps,
            drawer,
            self.stretching.panel(),
            self.curves.drawer,
            sizing_mode="stretch_both",
            margin=0,
            styles={"position": "relative"},
        )
        page = pmui.Page(
            header=self._header(),
            sidebar=[self.rail.panel()],
            main=[centre],
            contextbar=[self.gallery.panel()],
            sidebar_width=RAIL,
            contextbar_width=GALLERY,
            contextbar_open=True,
            contextbar_variant="persistent",
            contextbar_resizable=True,
            dark_theme=self.state.dark,
            theme_config=palette(),
            sx=page_style(),
            busy_indicator=None,
            meta=Meta(title=f"{self.store.survey.name} · Skysieve"),
        )
        page.link(self.state, dark_theme="dark")
        with edit_readonly(page):
            # a parameter of the session's in place of a global of Panel's, which would keep the page for ever
            page.busy = self.chrome.param.loading
        return page

    def _header(self) -> list:
        survey = self.store.survey
        name = pn.pane.HTML(
            f"<div class='name' title='{_escaped(str(survey.path))}'>{_OTHERS if self.others else ''}"
            f"<b>{_escaped(survey.name)}</b>"
            f"<span>{self.store.n:,} objects</span></div>",
            margin=(0, 8, 0, 0),
            align="center",
            stylesheets=[_NAME],
        )
        self._layout = pmui.Select(
            label="Layout",
            options=self.store.layouts(),
            value=self.state.layout or None,
            size="small",
            width=200,
            margin=(0, 4),
            sx=_FIELD,
            align="center",
            variant="outlined",
            visible=bool(self.store.layouts()),
        )
        self._layout.param.watch(lambda event: self.state.param.update(layout=event.new or ""), "value")
        target = pmui.TextInput(
            label="Looking for",
            value=self.state.target,
            size="small",
            width=150,
            margin=(0, 4),
            sx=_FIELD,
            variant="outlined",
            max_length=60,
        )
        target.param.watch(self._retarget, "value")
        self.state.param.watch(lambda event: target.param.update(value=event.new), "target")
        return [
            name,
            self._layout,
            target,
            self.running,
            pn.Spacer(sizing_mode="stretch_width"),
            self.training.panel(),
            self.chrome,
        ]

    def _retarget(self, event) -> None:
        name = event.new.strip()
        if name and name != self.state.target:
            self.state.target = name

    # -- change --------------------------------------------------------------------------------------------------------

    def _watch(self) -> None:
        self.state.param.watch(lambda event: self.chrome.say(*event.new), "notice")
        self.chrome.param.watch(self._fit_window, "window_width")
        self.state.param.watch(lambda event: self.rail.layouts.make(), "layout_wanted")
        self.state.param.watch(lambda event: self._make_room(), "two")
        self.state.param.watch(lambda event: self._rank(), "target")
        self._rank()

    def _rank(self) -> None:
        """Have the target ranked, if there is anything to learn from."""
        if self.store.survey.representations:
            self.store.ranking(self.state.target)

    def _fit_window(self, event) -> None:
        """Share a window out: a narrow one folds the rail, the gallery takes a third."""
        folded = event.old == 0 or (event.old < NARROW) != (event.new < NARROW)
        shares = {"contextbar_width": int(np.clip(0.335 * event.new, 300, 560))}
        if folded:
            shares["sidebar_open"] = event.new >= NARROW
        pn.state.execute(partial(self._share, **shares), schedule=True)

    def _make_room(self) -> None:
        """Two maps in a small window need the place of the rail."""
        if self.state.two and self.chrome.window_width < ROOMY:
            self._share(sidebar_open=False)

    def _share(self, **shares) -> None:
        self.page.param.update(**shares)

    def _heard(self, kind: str, detail: str) -> None:
        """Something changed in the store, by this session or another."""
        self.rail.heard(kind, detail)
        self.following.heard(kind, detail)
        self.training.heard(kind)
        self.steering.heard(kind, detail)
        if kind == "representation":
            self.state.notice = ("info", f"Search and suggestions go by ‘{detail}’ now")
        elif kind == "labels" and detail == self.state.target:
            self.state.labels_version += 1
        elif kind == "remarks" or (kind == "labels" and detail == ARTEFACT):
            self.state.remarks_version += 1
        elif kind == "ranking" and detail == self.state.target:
            self.state.ranking_version += 1
        elif kind == "pictures":
            self._new_own_stretch()
        elif kind == "problem":
            self.state.notice = ("error", detail)
        elif kind == "done":
            self.selecting.heard(detail)
        elif kind == "selections":
            self.kept.refresh()
        elif kind == "jobs":
            self.running.update()
            if self.store.jobs.current is None:
                self._rank()  # the job may have made the first representation

    def _new_own_stretch(self) -> None:
        """A command may have given the survey another stretch: who has looked at it as it was follows."""
        before, now = self.state.own_stretch, self.store.stretch
        if now != before:
            followed = self.state.stretch in (before, now)
            self.state.param.update(own_stretch=now, **({"stretch": now} if followed else {}))

    def _offer_layouts(self) -> None:
        """List the layouts where one is chosen."""
        names = self.store.layouts()
        self._layout.param.update(options=names, value=self.state.layout or None, visible=bool(names))
        self.beside.offer()

    # -- across reloads ------------------------------------------------------------------------------------------------

    def _restore(self) -> None:
        """Take what the address of the page says; what is not there any more is left out."""
        if pn.state.location is None:
            return
        pn.state.location.sync(self.state, RESTORED)
        pn.state.location.sync(self.state.second, RESTORED_BESIDE)
        if self.state.layout not in self.store.layouts():
            self.state.layout = first_layout(self.store)
        if not -1 <= self.state.cursor < self.store.n:
            self.state.cursor = -1
        try:
            self.state.stretch.require_bands(self.store.survey.bands)
        except UserError:
            self.state.stretch = self.state.own_stretch
        self.lasting.restore()

    def close(self, session_context) -> None:
        """Let go of everything: `pmui.Page` and HoloViews would keep it for ever (measured, 6.5 MB a session)."""
        self._unsubscribe()
        for view in (
            self.selecting,
            self.lasting,
            self.kept,
            self.map,
            self.beside,
            self.rail,
            self.rail.export,
            self.gallery,
            self.curves,
            self.outlying,
            self.likeness,
            self.inspector,
            self.reasons,
            self.steering,
            self.training,
        ):
            getattr(view, "close", lambda: None)()
        with discard_events(self.page):
            self.page.param.update(main=[], sidebar=[], contextbar=[], header=[])


def first_layout(store: Store) -> str:
    """The newest layout, or nothing."""
    names = store.layouts()
    return names[0] if names else ""


def first_target(store: Store) -> str:
    """The target with most labels; without any, dwarfs in a simulated survey (they are what is rare there)."""
    try:
        counts = {target: sum(values.values()) for target, values in store.survey.labels.targets().items()}
    except UserError as error:
        log.warning("%s", error)
        counts = {}
    counts.pop(ARTEFACT, None)  # kept away, not looked for
    if counts:
        return max(counts, key=counts.__getitem__)
    return "dwarf" if "truth" in store.survey.columns else "interesting"


#: The bar would paint its fields white on any ground.
_FIELD = {
    "&.MuiInputBase-root, & .MuiInputBase-root": {"height": "34px", "color": "var(--text) !important"},
    "& .MuiInputBase-input": {"color": "var(--text) !important"},
    "& .MuiSvgIcon-root": {"color": "var(--muted) !important"},
}

#: The way to the page on surveys.
_OTHERS = "<a href='?new=1' title='Other surveys, or a new one' aria-label='Surveys'>Surveys</a>"

_NAME = """
.name { display: flex; align-items: baseline; gap: 10px; font: 13px/1.3 var(--font); white-space: nowrap; color: var(--text); }
.name b { font-size: 15px; font-weight: 600; max-width: 300px; overflow: hidden; text-overflow: ellipsis; }
.name a { color: var(--accent); text-decoration: none; padding: 2px 6px; margin-left: -6px; border-radius: 4px; }
.name a:hover { background: var(--raised); }
.name a:focus-visible { outline: 2px solid var(--accent); }
.name span { color: var(--muted); font-variant-numeric: tabular-nums; }
"""


def _escaped(text: str) -> str:
    from html import escape

    return escape(text, quote=True)

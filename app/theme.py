"""Colours and their meaning, once for Python and CSS: two themes, one accent, scales safe for colour-blind readers."""

from dataclasses import dataclass
from functools import cache

import numpy as np
from bokeh.palettes import Plasma256, Viridis256

from app.map.scales import ramp, rgb


@dataclass(frozen=True)
class Theme:
    """The colours of one theme; the field names are those of the CSS variables (``--line-strong`` and so on)."""

    name: str
    ground: str  # behind the map and the galaxies
    panel: str  # rails and drawers
    raised: str  # controls, cards
    line: str
    text: str
    muted: str
    accent: str
    on_accent: str
    yes: str
    no: str
    unsure: str
    unknown: str  # objects without a value
    density: tuple[str, ...]  # sparse → dense

    def variables(self) -> dict[str, str]:
        """The colours as CSS variables."""
        return {
            f"--{name.replace('_', '-')}": value
            for name, value in vars(self).items()
            if isinstance(value, str) and value.startswith("#")
        }


DARK = Theme(
    "dark",
    ground="#0b0e14",
    panel="#10141c",
    raised="#1a202b",
    line="#252d3a",
    text="#dfe5ee",
    muted="#8b96a8",
    accent="#62c8e0",
    on_accent="#06222a",
    yes="#3fcf8e",
    no="#ff6b6b",
    unsure="#f2b84b",
    unknown="#4a5366",
    # never white: galaxies are the brightest
    density=("#22386b", "#2a5590", "#347aab", "#4f9dbb", "#79bcc6", "#a6d3cf"),
)
LIGHT = Theme(
    "light",
    ground="#f7f8fa",
    panel="#ffffff",
    raised="#eef1f5",
    line="#d5dbe4",
    text="#1b2430",
    muted="#5a6678",
    accent="#0b7a94",
    on_accent="#ffffff",
    yes="#0f8a55",
    no="#cf3838",
    unsure="#b47a06",
    unknown="#b4bcc8",
    density=("#b9cbe2", "#85a9d0", "#4f82b5", "#2d5c95", "#173a6b", "#081a38"),
)

#: Okabe and Ito's first two, then what lies farthest (OKLab) from all before as seen with red, green or no cone missing
#: (Machado et al. 2009), on either ground: any two differ for everybody, the first few by much.
CATEGORY = (
    "#54b4ea",
    "#e49c00",
    "#1e7224",
    "#5a54c6",
    "#00eab4",
    "#cc78a8",
    "#dec6fc",
    "#8a546c",
    "#9c8436",
    "#c0d212",
    "#c03012",
    "#009678",
    "#00c06c",
    "#968afc",
    "#307296",
    "#f6c684",
    "#9c60c0",
    "#84c0a8",
    "#187eea",
    "#fc907e",
)


def theme(dark: bool) -> Theme:
    """The theme in use."""
    return DARK if dark else LIGHT


@cache
def density_scale(dark: bool) -> np.ndarray:
    """Colours for counts, sparse first, (256, 3) uint8."""
    return ramp(list(theme(dark).density))


@cache
def value_scale(dark: bool, learned: bool = False) -> np.ndarray:
    """Colours for numbers, (L, 3) uint8: viridis, or plasma, without the end that would vanish in the ground."""
    palette = Plasma256 if learned else Viridis256
    part = palette[36:] if dark else palette[:232]
    return np.array([rgb(c) for c in part], np.uint8)


def category_colours(names: tuple[str, ...], dark: bool) -> list[str]:
    """A colour for each category; labels have their own."""
    shown = theme(dark)
    ratings = value_scale(dark)[np.linspace(0, len(value_scale(dark)) - 1, 6).astype(int)].tolist()
    fixed = {"yes": shown.yes, "no": shown.no, "unsure": shown.unsure, "other": shown.muted}
    fixed |= {f"rated {k}": "#{:02x}{:02x}{:02x}".format(*colour) for k, colour in enumerate(ratings)}
    return [fixed.get(name, CATEGORY[k % len(CATEGORY)]) for k, name in enumerate(names)]


#: Roboto comes with the widgets, Inter if it is installed; nothing is fetched.
FONT = "Inter, Roboto, system-ui, -apple-system, 'Segoe UI', sans-serif"


def palette() -> dict:
    """Colours and sizes of the Material widgets, for `panel_material_ui.Page`."""
    return {shown.name: _palette(shown) for shown in (DARK, LIGHT)}


def _palette(shown: Theme) -> dict:
    return {
        "palette": {
            "primary": {"main": shown.accent, "contrastText": shown.on_accent},
            "error": {"main": shown.no},
            "success": {"main": shown.yes},
            "warning": {"main": shown.unsure},
            # figures take "paper" as their ground; everything else that Material calls paper is coloured below
            "background": {"default": shown.ground, "paper": shown.ground},
            "divider": shown.line,
            "text": {"primary": shown.text, "secondary": shown.muted},
        },
        "typography": {"fontSize": 13, "fontFamily": FONT, "button": {"textTransform": "none"}},
        "shape": {"borderRadius": 6},
        "components": {
            "MuiPaper": {"styleOverrides": {"root": {"backgroundImage": "none", "backgroundColor": shown.panel}}},
            # the page's own speak of "contextbar"; `app/chrome.js` gives its buttons plain titles
            "MuiTooltip": {"defaultProps": {"disableHoverListener": True, "disableFocusListener": True}},
            "MuiFilledInput": {"styleOverrides": {"root": {"backgroundColor": "transparent"}}},
            "MuiMenuItem": {"styleOverrides": {"root": {"fontSize": 13}}},
            "MuiListSubheader": {
                "styleOverrides": {
                    "root": {"lineHeight": "28px", "fontSize": 12, "fontWeight": 600, "backgroundColor": shown.panel}
                }
            },
        },
    }


#: Height of the top bar, pixels.
BAR = 52


def page_style() -> dict:
    """Style of the page: the variables every view draws with, a thin bar at the top, and no frames."""
    style = {f"&.mui-{shown.name}": {**shown.variables(), "colorScheme": shown.name} for shown in (DARK, LIGHT)}
    bar = {
        "minHeight": f"{BAR}px !important",
        "height": f"{BAR}px",
        "padding": "0 12px !important",
        "margin": "0 !important",
    }
    return style | {
        "--font": FONT,
        "& .MuiToolbar-root": bar,
        "& .MuiAppBar-root": {
            "backgroundColor": "var(--panel) !important",
            "color": "var(--text) !important",
            "boxShadow": "inset 0 -1px var(--line)",
            "height": f"{BAR}px",
        },
        "& .MuiDrawer-paper": {"backgroundColor": "var(--panel)", "borderColor": "var(--line)"},
        "& main": {"backgroundColor": "var(--ground) !important", "minWidth": 0},
    }

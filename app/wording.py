"""How the page puts a job and a time into words."""

from __future__ import annotations

from app.jobs import Job
from engine.data.pictures.settings import Stretch

#: What a setting of a stretch is called before its value, and the unit behind it; nothing for what says itself.
SETTINGS = {
    "curve": ("", ""),
    "limits": ("", ""),
    "percent": ("", " %"),
    "softness": ("softness ", ""),
    "gain": ("gain ", "×"),
    "black": ("black ", ""),
    "white": ("white ", "×"),
    "smooth": ("smooth ", " px"),
    "bin": ("bin ", "×"),
    "colour": ("", ""),
}


def in_words(job: Job) -> str:
    """What a job does, how far it is and how long it takes."""
    parts = [job.stage] if job.state == "running" else []
    if job.state == "running" and job.total:
        parts.append(f"{job.done:,} of {job.total:,}")
        if job.rate:
            parts.append(f"{job.rate:,.0f} a second" if job.rate >= 10 else f"{job.rate:.2g} a second")
        if job.left is not None:
            parts.append(f"{duration(job.left)} left")
    elif job.state == "done":
        parts = [f"done in {duration(job.seconds)}"]
    elif job.state in ("waiting", "cancelled"):
        parts = [job.state]
    return " · ".join(p for p in parts if p)


def stretch_in_words(stretch: Stretch, own: Stretch) -> str:
    """What differs in a stretch from another: 'log · smooth 1.5 px · negative'."""
    parts = []
    if stretch.rgb != own.rgb:
        parts.append("all bands" if stretch.rgb is None else " ".join(stretch.rgb))
    for name, (before, unit) in SETTINGS.items():
        value = getattr(stretch, name)
        if value != getattr(own, name) and (name != "percent" or stretch.limits == "percentile"):
            parts.append(f"{before}{value if isinstance(value, str) else format(value, '.3g')}{unit}")
    if stretch.weights != own.weights:
        parts.append("weights")
    if stretch.invert != own.invert:
        parts.append("negative" if stretch.invert else "positive")
    return " · ".join(parts) or "other"


def duration(seconds: float) -> str:
    """Seconds as people say them."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"

"""How the page puts a job and a time into words."""

from __future__ import annotations

from app.jobs import Job


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


def duration(seconds: float) -> str:
    """Seconds as people say them."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"

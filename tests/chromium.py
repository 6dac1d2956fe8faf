"""Where the Chromium is that the browser tests drive; ``python tests/chromium.py --install`` gets one where there is none."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def find() -> str | None:
    """Path of a Chromium: $CHROMIUM, one on the PATH, or the one Playwright downloaded; None if there is none."""
    named = os.environ.get("CHROMIUM")
    if named:
        return named
    for name in NAMES:
        if path := shutil.which(name):
            return path
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        path = playwright.chromium.executable_path
    return path if Path(path).exists() else None


def install() -> None:
    """Install Chromium, by the system's packages where we may, else by Playwright."""
    prefix = [] if os.geteuid() == 0 else ["sudo", "-n"]
    if shutil.which("apt-get"):
        command = [*prefix, "apt-get", "-qq"]
        done = (
            subprocess.run([*command, "update"]).returncode == 0
            and subprocess.run(
                [*command, "install", "-y", "--no-install-recommends", "chromium", "fonts-dejavu-core"],
                env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
            ).returncode
            == 0
        )
        if done:
            return
    subprocess.run([sys.executable, "-m", "playwright", "install", "chromium"], check=False)


if __name__ == "__main__":
    if find() is None and "--install" in sys.argv:
        install()
    found = find()
    if found is None:
        sys.exit("no Chromium was found or could be installed: install one, or name it with CHROMIUM=PATH")
    print(f"Chromium: {found}")

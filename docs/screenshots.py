"""Take the documentation's screenshots from the running app: ``python docs/screenshots.py SURVEY OUT [--target T] [--light]``.

Starts a server on the survey, draws a lasso with the mouse, labels a few objects by key and photographs what is there.
Undo takes the labels back at the end, so the survey is left as it was but for its log. In place of a survey, a folder of pixels
gives the page on surveys.
"""

import argparse
import math
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

from playwright.sync_api import sync_playwright

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))
import chromium  # noqa: E402


def main() -> None:
    """Take the pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("survey", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--target", default="interesting")
    parser.add_argument("--sizes", nargs="+", default=["1600x1000"])
    parser.add_argument("--light", action="store_true")
    parser.add_argument(
        "--lasso",
        nargs=3,
        type=float,
        default=[0.5, 0.5, 0.2],
        metavar=("X", "Y", "R"),
        help="centre and radius, as shares of the map",
    )
    parser.add_argument("--zoom", type=int, default=9, help="notches of the wheel for the picture of the map from near")
    parser.add_argument("--labels", default="yynyu", help="keys pressed in the gallery")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = subprocess.Popen(
        [
            sys.executable,
            "launch.py",
            str(args.survey),
            "--port",
            str(port),
            "--no-browser",
            "--root",
            str(args.survey.parent),
        ],
        cwd=ROOT,
        env={**os.environ, "SKYSIEVE_USER": "astronomer"},
    )
    try:
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 0.2).close()
                break
            except OSError:
                time.sleep(0.1)
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(
                executable_path=chromium.find(), args=["--no-sandbox", "--disable-gpu"]
            )
            for size in args.sizes:
                visit(
                    browser,
                    f"http://localhost:{port}/?target={args.target}&dark={str(not args.light).lower()}",
                    size,
                    args,
                )
            browser.close()
    finally:
        server.terminate()
        server.wait(10)


def photograph_page(page, part: str, path: Path) -> None:
    """The page on representations, with what has been trained so far."""
    address, dark = page.url.split("?")[0], "dark=true" in page.url.lower()
    page.goto(f"{address}?page={part}&dark={str(dark).lower()}")
    page.locator("dialog.page[open]").wait_for(timeout=60_000)
    page.wait_for_timeout(20_000 if part == "compare" else 5_000)  # measures take a while
    page.screenshot(path=path)


def visit(browser, address: str, size: str, args) -> None:
    """One visit of the page at one size."""
    width, height = map(int, size.split("x"))
    page = browser.new_page(viewport={"width": width, "height": height})
    page.goto(address)
    if not (args.survey / "survey.toml").is_file():
        page.locator(".strip img").last.wait_for(state="visible", timeout=60_000)
        page.wait_for_timeout(500)
        page.screenshot(path=args.out / f"{args.survey.stem}-opening-{size}.png")
        return
    page.locator(".overlay .legend").first.wait_for(state="visible", timeout=60_000)
    page.wait_for_timeout(3000)
    name = f"{args.survey.stem}-{size}" + ("-light" if args.light else "")
    page.screenshot(path=args.out / f"{name}-map.png")
    box = page.locator(".bk-Canvas").first.bounding_box()
    x, y = box["x"] + args.lasso[0] * box["width"], box["y"] + args.lasso[1] * box["height"]
    r = args.lasso[2] * min(box["width"], box["height"])
    page.mouse.move(x, y)
    page.keyboard.press("l")
    page.wait_for_timeout(500)
    page.mouse.move(x + r, y)
    page.mouse.down()
    for step in range(1, 61):
        angle, wave = 2 * math.pi * step / 60, 1 + 0.12 * math.sin(5 * math.pi * step / 30)
        page.mouse.move(x + r * wave * math.cos(angle), y + r * wave * math.sin(angle))
    page.mouse.up()
    page.locator(".tile:visible").first.wait_for(timeout=20_000)
    page.wait_for_timeout(1500)
    page.locator(".tile:visible").first.click()
    for key in args.labels:
        page.keyboard.press(key)
        page.wait_for_timeout(150)
    page.wait_for_timeout(2500)
    page.mouse.move(box["x"] + 10, box["y"] + box["height"] - 10)
    page.wait_for_timeout(500)
    page.screenshot(path=args.out / f"{name}-lasso.png")
    page.mouse.move(x, y)
    for _ in range(args.zoom):
        page.mouse.wheel(0, -120)
        page.wait_for_timeout(250)
    page.mouse.move(box["x"] + 10, box["y"] + box["height"] - 10)
    page.wait_for_timeout(2500)
    page.screenshot(path=args.out / f"{name}-zoom.png")
    page.keyboard.press("f")
    page.keyboard.press("2")
    page.wait_for_timeout(4000)
    page.screenshot(path=args.out / f"{name}-two.png")
    page.keyboard.press("2")
    page.wait_for_timeout(1000)
    page.keyboard.press("Enter")
    page.wait_for_timeout(2000)
    page.screenshot(path=args.out / f"{name}-inspector.png")
    page.keyboard.press("Escape")
    page.get_by_role("tab", name="Suggestions").click()
    page.wait_for_timeout(2500)
    page.screenshot(path=args.out / f"{name}-suggestions.png")
    page.get_by_role("tab", name="Selection").click()
    page.wait_for_timeout(1000)
    for _ in args.labels:
        page.keyboard.press("z")
        page.wait_for_timeout(150)
    for part in ("train", "compare"):
        photograph_page(page, part, args.out / f"{name}-{part}.png")
    page.close()


if __name__ == "__main__":
    main()

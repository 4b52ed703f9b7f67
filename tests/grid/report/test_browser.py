"""The page in a real browser without a screen.

It makes no request and no error, pictures decode, links lead somewhere, and nothing is cut off.
"""

from __future__ import annotations

import html
import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

pytestmark = pytest.mark.skipif(
    os.environ.get("ECHOLM_TEST_SYSTEM") != "1",
    reason="installs Chromium; set ECHOLM_TEST_SYSTEM=1 to run it",
)
INSTALL = ("apt-get", "install", "-y", "--no-install-recommends", "chromium")
PROBE = """
<script>
window.errors = [];
addEventListener("error", event => errors.push(String(event.message || event.target)), true);
const pictures = [];
addEventListener("DOMContentLoaded", () => {
  // The load event waits for pictures that are there by now.
  for (const image of document.querySelectorAll("image")) {
    const copy = new Image();
    copy.src = image.getAttribute("href");
    copy.style.position = "absolute";
    copy.style.opacity = 0;
    copy.style.width = "1px";
    pictures.push(copy);
    document.body.append(copy);
  }
});
addEventListener("load", () => {
  const all = selector => [...document.querySelectorAll(selector)];
  const address = element => element.getAttribute("href") || element.getAttribute("xlink:href");
  const hrefs = [...all("a[href^='#']"), ...all("use")].map(address);
  const decoded = pictures.filter(one => one.complete && one.naturalWidth > 0).length;
  const summary = document.querySelector("td summary");
  const link = document.querySelector("td .card a");
  summary.focus();
  const focused = document.activeElement === summary;
  summary.click();
  const opened = summary.parentElement.open && link.getClientRects().length > 0;
  const card = document.querySelector("td .card").getBoundingClientRect();
  const requested = performance.getEntriesByType("resource").map(one => one.name);
  const result = {
    links: hrefs.length,
    dead: hrefs.filter(href => !document.getElementById(decodeURIComponent(href.slice(1)))),
    pictures: pictures.length,
    decoded,
    focused,
    opened,
    cut: card.left < 0 || card.right > innerWidth,
    errors,
    requests: requested.filter(name => !name.startsWith("data:")),
    drawn: all("svg").filter(one => one.getBoundingClientRect().height > 5).length,
    wider: document.documentElement.scrollWidth - innerWidth,
    scripts: document.scripts.length,
    dialogs: window.called || 0,
  };
  const element = document.createElement("pre");
  element.id = "probe";
  element.textContent = JSON.stringify(result);
  document.body.append(element);
});
window.alert = () => { window.called = 1; };
</script>
"""


@pytest.fixture(scope="session")
def browser() -> str:
    """Chromium, installed where it is not there."""
    if not shutil.which("chromium"):
        subprocess.run(INSTALL, check=True, capture_output=True)
    return shutil.which("chromium") or "chromium"


@pytest.fixture(scope="session")
def page(made: Any) -> Path:
    made.report()
    return Path(made.page)


def look(browser: str, page: Path, folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """A run of the browser that can reach no host."""
    words = [
        browser,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-background-networking",
        "--disable-component-update",
        "--no-first-run",
        f"--user-data-dir={folder / 'profile'}",
        "--host-resolver-rules=MAP * ~NOTFOUND",
        "--enable-logging=stderr",
        "--virtual-time-budget=10000",
        *options,
        page.as_uri(),
    ]
    return subprocess.run(words, capture_output=True, text=True, timeout=400)


@pytest.mark.parametrize("width", [1280, 500])
def test_it_opens_without_network_error_or_dead_link(
    browser: str, page: Path, tmp_path: Path, width: int
) -> None:
    probed = tmp_path / "probed.html"
    probed.write_text(
        page.read_text(encoding="utf-8").replace("<style>", f"{PROBE}<style>", 1), encoding="utf-8"
    )
    done = look(browser, probed, tmp_path, f"--window-size={width},900", "--dump-dom")
    written = re.search(r'<pre id="probe">(.*?)</pre>', done.stdout, re.DOTALL)
    assert written, done.stderr
    probe = json.loads(html.unescape(written[1]))
    assert "CONSOLE" not in done.stderr, done.stderr
    assert (probe["requests"], probe["errors"], probe["dead"]) == ([], [], [])
    assert probe["pictures"] > 0 and probe["decoded"] == probe["pictures"]
    assert probe["links"] > 20 and probe["drawn"] > 20
    assert probe["focused"] and probe["opened"], (
        "a number of a table opens by keyboard and mouse, and shows its runs"
    )
    assert not probe["cut"], "what stands behind a number can be read up to its edges"
    assert probe["wider"] <= 0, "the page itself does not scroll sideways"
    assert (probe["scripts"], probe["dialogs"]) == (1, 0), "only the probe's own script runs"


def test_a_screenshot_shows_text_curves_and_frames(
    browser: str, page: Path, tmp_path: Path
) -> None:
    picture = tmp_path / "page.png"
    look(
        browser,
        page,
        tmp_path,
        "--window-size=1280,4000",
        "--hide-scrollbars",
        f"--screenshot={picture}",
    )
    pixels = np.asarray(Image.open(picture).convert("RGB")).astype(int)
    assert pixels.shape == (4000, 1280, 3)
    bright = (pixels.min(-1) > 240).mean()
    assert 0.5 < bright < 0.99, "dark on white"
    assert (pixels.max(-1) < 40).sum() > 100_000, "the black of ultrasound frames"
    colours = {"curve": (31, 111, 180), "box": (0, 121, 140), "contour": (255, 196, 0)}
    for colour in colours.values():
        assert (np.abs(pixels - colour).max(-1) < 12).sum() > 50, colour


def test_the_paper_version_is_a_pdf_with_the_tables(
    browser: str, page: Path, tmp_path: Path
) -> None:
    printed = tmp_path / "page.pdf"
    look(browser, page, tmp_path, f"--print-to-pdf={printed}")
    assert printed.read_bytes().startswith(b"%PDF") and printed.stat().st_size > 20_000

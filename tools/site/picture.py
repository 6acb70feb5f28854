"""Photograph the guide's own run in TensorBoard: python -m tools.site.picture

It needs Chromium and its chromedriver; writes docs/guide_tensorboard.png.
"""

import os
import pathlib
import re
import subprocess
import sys
import tempfile

from selenium.webdriver.support.ui import WebDriverWait

from tests.browser.test_tensorboard import open_browser
from tools.site import guide

PICTURE = guide.ROOT / "docs" / "guide_tensorboard.png"
CARDS = 3  # at least, before the picture is taken


def train(folder):
    """Run the guide up to its first monitored training; its logs are in `runs/guide`."""
    names, before = {}, os.getcwd()
    os.chdir(folder)
    try:
        for is_code, source in guide.cells(guide.GUIDE.read_text(encoding="utf-8")):
            if is_code:
                exec(compile(source, "guide.md", "exec"), names)
            if "monitor" in names:
                break
    finally:
        os.chdir(before)


def photograph(logs, picture):
    """Save a picture of TensorBoard's first page on a folder of logs."""
    command = [sys.executable, "-m", "tensorboard.main", "--logdir", str(logs), "--port", "0"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as server:
        browser = open_browser()
        try:
            found = (re.search(r"http://localhost:\d+/", line) for line in server.stdout)
            browser.get(next(filter(None, found))[0] + "?smoothing=0#timeseries")
            wait = WebDriverWait(browser, timeout=120)
            drawn = "scalar-card line-chart svg path"
            wait.until(lambda _: len(browser.find_elements("css selector", drawn)) >= CARDS)
            browser.find_element("css selector", "button.settings-button").click()
            wait.until(lambda _: not browser.find_elements("css selector", "settings-view"))
            browser.save_screenshot(str(picture))
        finally:
            browser.quit()
            server.terminate()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        train(folder)
        photograph(pathlib.Path(folder) / "runs" / "guide", PICTURE)

"""The main experiment's runs in TensorBoard, in a real browser: is every curve there?

    python tests/browser/test_tensorboard.py LOGDIR PNG

starts TensorBoard on the logs of any figure, checks that each of its charts has a curve for each
run, and saves a picture of the page. It needs Chromium (or Chrome) and its chromedriver.
"""

import pathlib
import re
import shutil
import subprocess
import sys

import pytest

from reproduce import figure5_right
from reproduce.harness.work import tensorboard_page

webdriver = pytest.importorskip("selenium.webdriver")
ui = pytest.importorskip("selenium.webdriver.support.ui")

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "chrome"))), None)
DRIVER = shutil.which("chromedriver")
WIDTH, HEIGHT = 1366, 768  # of a laptop


def photograph(log_dir, picture):
    """Check that the chart of the loss, on top, shows every run of a folder; save a picture."""
    expected = {str(path.parent.relative_to(log_dir)) for path in log_dir.rglob("events.out.*")}
    expected -= {"trials"}  # of the HParams dashboard
    assert len(expected) == 4  # two runs, and the paper's curves
    command = ["-m", "tensorboard.main", "--logdir", str(log_dir), "--port", "0"]
    with subprocess.Popen(
        [sys.executable, *command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as server:
        browser = open_browser()
        try:
            found = (re.search(r"http://localhost:\d+/", line) for line in server.stdout)
            url = next(filter(None, found))
            browser.get(tensorboard_page(figure5_right.TAGS, url[0]))
            # The page fetches the runs, then the charts, then the points.
            wait = ui.WebDriverWait(browser, timeout=180)
            wait.until(lambda _: charts(browser) and expected <= charts(browser)[0])
            browser.find_element("css selector", "button.settings-button").click()  # A panel.
            wait.until(lambda _: not browser.find_elements("css selector", "settings-view"))
            assert charts(browser)[0] == expected
            loss = browser.find_element("css selector", "scalar-card")
            assert loss.text.startswith("train\n/loss\n") and loss.rect["y"] < HEIGHT / 2
            browser.save_screenshot(str(picture))
        finally:
            browser.quit()
            server.terminate()


def open_browser():
    options = webdriver.ChromeOptions()
    options.binary_location = BROWSER
    # Without WebGL the curves are SVG, which can be looked at from here.
    size = f"window-size={WIDTH},{HEIGHT}"
    for argument in ("headless=new", "no-sandbox", "disable-3d-apis", size):
        options.add_argument(f"--{argument}")
    return webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))


def charts(browser):
    """For each chart on the page the names of the runs of which it has a curve."""
    # A curve has the color that its run has in the table below the chart.
    return [
        set(runs)
        for runs in browser.execute_script(
            """
            return [...document.querySelectorAll("scalar-card")].map(card => {
                const drawn = [...card.querySelectorAll("line-chart svg path")]
                    .filter(path => (path.getAttribute("d") || "").includes("L"))
                    .map(path => path.style.stroke);
                return [...card.querySelectorAll("tb-data-table-content-row")]
                    .filter(row => drawn.includes(
                        row.querySelector("[style*=background]")?.style.backgroundColor))
                    .map(row => row.innerText.trim().split("\\n")[0]);
            });
            """
        )
    ]


@pytest.mark.slow
@pytest.mark.skipif(not (BROWSER and DRIVER), reason="needs Chromium and chromedriver")
def test_every_arm_has_its_curve_in_every_chart(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    figure5_right.main(["--smoke", "--quiet"])
    picture = tmp_path / "page.png"
    photograph(tmp_path / "runs/smoke/figure5_right/results/logs", picture)
    assert picture.stat().st_size > 10_000


if __name__ == "__main__":
    photograph(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]))

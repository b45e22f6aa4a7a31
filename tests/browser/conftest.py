"""A whole server, and a real Chromium that looks at it."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest
import urllib3
from selenium import webdriver
from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.wait import WebDriverWait

from tests.support.processes import RunningServer

EMAIL, PASSWORD = "operator@example.org", "correct horse battery staple"
WAIT_SECONDS = 40
WIDTH, HEIGHT = 1100, 850
# Headless on machines without a GPU or a user namespace, and silent: nothing of its own goes over the network.
ARGUMENTS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--lang=en-US",
    f"--window-size={WIDTH},{HEIGHT}",
)  # fmt: skip
_PASSING = (StaleElementReferenceException, orjson.JSONDecodeError, KeyError)
# Redoc links its makers with a picture of theirs, which the policy holds back.
REDOC_LOGO = "https://cdn.redoc.ly/redoc/logo-mini.svg"
OWN_SCHEMES = ("data:", "blob:", "chrome:", "about:", "devtools:")


def find_programs() -> tuple[str, str]:
    """Return the paths of Chromium and its driver; without them skip, or fail where CI wants the proof."""
    found = [shutil.which(name) for name in ("chromium", "chromedriver")]
    if found[0] and found[1]:
        return found[0], found[1]
    message = "Chromium is not installed: `make browser` installs Debian's chromium and chromium-driver"
    if os.environ.get("PERSONS_API_REQUIRE_BROWSER") == "1":
        pytest.fail(message)
    pytest.skip(message)


class Page:
    """One browser window on one server."""

    def __init__(self, driver: webdriver.Chrome, base_url: str, screenshots: Path) -> None:
        self.driver = driver
        self.base_url = base_url
        self.screenshots = screenshots

    def open(self, path: str) -> None:
        self.driver.get(self.base_url + path)

    def sign_in(self, email: str = EMAIL, password: str = PASSWORD) -> None:
        self.open("/login/?next=/api/")
        self.find("[name=username]").send_keys(email)
        self.find("[name=password]").send_keys(password)
        self.find("main button").click()
        # Whoever goes on to another page before the answer is there meets either of them.
        self.until(lambda: "/login/" not in self.driver.current_url or self.all(".errorlist"))

    def find(self, selector: str) -> WebElement:
        """Return the first visible element, once there is one."""
        return self.until(lambda: next((one for one in self.all(selector) if one.is_displayed()), None))

    def all(self, selector: str) -> list[WebElement]:
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def until(self, holds: Any) -> Any:
        """Wait until this holds; the page may be replaced meanwhile, and be read half written."""
        return WebDriverWait(self.driver, WAIT_SECONDS, ignored_exceptions=_PASSING).until(lambda _: holds())

    def fill(self, selector: str, text: str) -> None:
        element = self.find(selector)
        element.clear()
        element.send_keys(text)

    def answer(self) -> Any:
        """The JSON that a browsable page shows, once all of it is there."""
        return self.until(lambda: (orjson.loads(self.text("pre.answer")),))[0]

    def status(self) -> str:
        return self.text(".status")

    def text(self, selector: str) -> str:
        """Return the text of an element, empty while there is none."""
        script = "return document.querySelector(arguments[0])?.textContent ?? ''"
        return str(self.driver.execute_script(script, selector))  # type: ignore[no-untyped-call]

    def shoot(self, name: str, *, width: int = WIDTH) -> None:
        """Write a screenshot of the whole page, up to two windows high."""
        height = int(self.driver.execute_script("return document.documentElement.scrollHeight"))  # type: ignore[no-untyped-call]
        self.driver.set_window_size(width, max(HEIGHT, min(height + 120, 2 * HEIGHT)))
        path = self.screenshots / f"{name}.png"
        assert self.driver.save_screenshot(str(path))
        self.driver.set_window_size(WIDTH, HEIGHT)

    def requests(self) -> list[str]:
        """Addresses that were asked for, but for those that the content security policy held back."""
        log = self.driver.get_log("performance")  # type: ignore[no-untyped-call]
        messages = [orjson.loads(entry["message"])["message"] for entry in log]
        sent = {
            message["params"]["requestId"]: message["params"]["request"]["url"]
            for message in messages
            if message["method"] == "Network.requestWillBeSent"
        }
        for message in messages:
            if message["method"] == "Network.loadingFailed" and message["params"].get("blockedReason") == "csp":
                sent.pop(message["params"]["requestId"], None)
        return list(sent.values())

    def complaints(self) -> list[str]:
        """What the console said of scripts and of the content security policy."""
        entries = self.driver.get_log("browser")  # type: ignore[no-untyped-call]
        told = [entry["message"] for entry in entries if entry["source"] in {"security", "javascript", "worker"}]
        return [message for message in told if REDOC_LOGO not in message]


@pytest.fixture(scope="session")
def screenshots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where screenshots go: SCREENSHOTS_DIR, or a temporary folder."""
    wanted = os.environ.get("SCREENSHOTS_DIR")
    folder = Path(wanted) if wanted else tmp_path_factory.mktemp("screenshots")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server with one person, and a user who can log in."""
    find_programs()
    with RunningServer(tmp_path_factory.mktemp("browser") / "data") as running:
        running.manage("provision", "--email", EMAIL, "--password", PASSWORD, "--operator")
        event = {
            "api_key": running.api_token, "event": "$set", "distinct_id": "ann",
            "properties": {"$set": {"name": "Ann", "bio": "<script>document.title = 'broken'</script>"}},
        }  # fmt: skip
        assert urllib3.request("POST", f"{running.base_url}/e/", json=event).status == 200
        yield running


@contextmanager
def _driver(folder: Path) -> Iterator[webdriver.Chrome]:
    chromium, chromedriver = find_programs()
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for argument in (*ARGUMENTS, f"--user-data-dir={folder}"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(chromedriver))
    try:
        yield driver
    finally:
        driver.quit()


@pytest.fixture
def page(server: RunningServer, tmp_path: Path, screenshots: Path) -> Iterator[Page]:
    """A window of its own; afterwards no page may have asked another host for anything, nor a script have failed."""
    with _driver(tmp_path / "chromium") as driver:
        opened = Page(driver, server.base_url, screenshots)
        yield opened
        elsewhere = [url for url in opened.requests() if not url.startswith((server.base_url + "/", *OWN_SCHEMES))]
        assert elsewhere == []
        assert opened.complaints() == []

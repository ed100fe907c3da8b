"""A headless Chromium for tests and screenshots, driven through Debian's chromedriver."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_NAMES = ("chromium", "chromium-browser", "google-chrome")
_FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--disable-dev-shm-usage",
)


def chromium() -> str | None:
    """The browser's program; None where it or its driver is missing."""
    if shutil.which("chromedriver") is None:
        return None
    return next((path for name in _NAMES if (path := shutil.which(name))), None)


@contextmanager
def browser(width: int = 1280, height: int = 900, phone: bool = False) -> Iterator[Any]:
    """A Selenium driver with a window of this size and a new, empty profile; it is closed at the end.

    phone: with a touch screen, and twice the pixels. Console messages are kept (`get_log("browser")`).
    """
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = chromium() or ""
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    with tempfile.TemporaryDirectory(prefix="deepibl-browser-") as profile:
        for flag in (*_FLAGS, f"--user-data-dir={profile}", f"--window-size={width},{height}"):
            options.add_argument(flag)
        service = webdriver.ChromeService(shutil.which("chromedriver"))
        driver = webdriver.Chrome(options=options, service=service)
        try:
            resize(driver, width, height, phone)
            yield driver
        finally:
            driver.quit()


def resize(driver: Any, width: int, height: int, phone: bool = False) -> None:
    """Gives the window's inside this size in pixels."""
    shape = {"width": width, "height": height, "deviceScaleFactor": 2 if phone else 1, "mobile": phone}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", shape)
    driver.execute_cdp_cmd("Emulation.setTouchEmulationEnabled", {"enabled": phone})

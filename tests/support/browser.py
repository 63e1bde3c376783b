"""A headless Chromium that tests drive through its own debugging pipe; no driver, no further package."""

import base64
import json
import os
import selectors
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome")

# Chromium reads commands from descriptor 3 and writes answers to 4.
_START = """
import fcntl, os, sys
read, write = (fcntl.fcntl(int(n), fcntl.F_DUPFD, 10) for n in sys.argv[1:3])
os.dup2(read, 3)
os.dup2(write, 4)
os.execvp(sys.argv[3], sys.argv[3:])
"""

_PATIENCE = 300.0
"""Seconds for an answer; the machine may be busy."""


def missing() -> str:
    """Why there is no browser to test with; empty where there is one."""
    if os.name != "posix":
        return "the debugging pipe needs a POSIX system"
    return "" if _executable() else f"none of {', '.join(NAMES)} is installed"


def _executable() -> str | None:
    return next(filter(None, map(shutil.which, NAMES)), None)


@dataclass
class Page:
    """An open page.

    Args:
        said: every error and message of its console.
        asked: every address that was requested, the page's own first.
    """

    browser: "Browser"
    session: str
    said: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression, as JSON gives it."""
        made = self._call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in made, made["exceptionDetails"]
        return made["result"].get("value")

    def picture(self, path: Path, whole: bool = False) -> None:
        """Write what is seen as PNG.

        Args:
            whole: down to the end of the page.
        """
        made = self._call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(made["data"]))

    def _call(self, method: str, **parameters: Any) -> dict[str, Any]:
        return self.browser.call(method, self.session, **parameters)


class Browser:
    """One browser for many pages; close it at the end."""

    def __init__(self, folder: Path) -> None:
        executable = _executable()
        assert executable is not None
        to_read, self._commands = os.pipe()
        self._answers, to_write = os.pipe()
        options = [
            "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync",
            "--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage",
            "--hide-scrollbars", "--remote-debugging-pipe", f"--user-data-dir={folder}", "about:blank",
        ]  # fmt: skip
        start = [sys.executable, "-c", _START, str(to_read), str(to_write), executable, *options]
        self._process = subprocess.Popen(
            start, pass_fds=(to_read, to_write), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        os.close(to_read)
        os.close(to_write)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._answers, selectors.EVENT_READ)
        self._unread, self._n_calls = b"", 0
        self._pages: dict[str, Page] = {}
        self._events: list[tuple[str, str]] = []

    def open(self, address: str, width: int, dark: bool = False, height: int = 900) -> Page:
        """Open a page and wait until it is loaded.

        Args:
            width: of the window in CSS pixels; a telephone has around 390, and is emulated as one.
            dark: whether the system asks for dark colours.
        """
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        page = self._pages[session] = Page(self, session)
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable", session)
        self.call(
            "Emulation.setDeviceMetricsOverride", session,
            width=width, height=height, deviceScaleFactor=1, mobile=width < 500,
        )  # fmt: skip
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", session, features=[scheme])
        self._events.clear()
        self.call("Page.navigate", session, url=address)
        while (session, "Page.loadEventFired") not in self._events:
            self._hear(self._message())
        return page

    def call(self, method: str, session: str | None = None, **parameters: Any) -> dict[str, Any]:
        """Send a command and wait for its answer."""
        self._n_calls += 1
        command = {"id": self._n_calls, "method": method, "params": parameters}
        if session is not None:
            command["sessionId"] = session
        os.write(self._commands, json.dumps(command).encode() + b"\0")
        while True:
            message = self._message()
            if message.get("id") == self._n_calls:
                assert "error" not in message, (method, message["error"])
                return message["result"]
            self._hear(message)

    def close(self) -> None:
        """End the browser."""
        self.call("Browser.close")
        self._process.wait(_PATIENCE)
        self._selector.close()
        os.close(self._commands)
        os.close(self._answers)

    def _hear(self, message: dict[str, Any]) -> None:
        method, session = message.get("method", ""), message.get("sessionId", "")
        parameters = message.get("params", {})
        self._events.append((session, method))
        page = self._pages.get(session)
        if page is None:
            return
        if method == "Network.requestWillBeSent":
            page.asked.append(parameters["request"]["url"])
        elif method == "Runtime.exceptionThrown":
            page.said.append(json.dumps(parameters["exceptionDetails"]))
        elif method == "Log.entryAdded":
            page.said.append(parameters["entry"]["text"])
        elif method == "Runtime.consoleAPICalled":
            page.said.append(json.dumps(parameters["args"]))

    def _message(self) -> dict[str, Any]:
        end = time.monotonic() + _PATIENCE
        while b"\0" not in self._unread:
            if not self._selector.select(timeout=5) and time.monotonic() > end:
                raise TimeoutError("the browser does not answer")
            read = os.read(self._answers, 1 << 16) if self._selector.select(timeout=0) else None
            assert read != b"", f"the browser has ended ({self._process.poll()})"
            self._unread += read or b""
        text, _, self._unread = self._unread.partition(b"\0")
        return json.loads(text)

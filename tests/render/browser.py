"""Chromium, driven by tests, and names of tokens that a page must show as letters. conftest.py has the fixtures."""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--remote-debugging-pipe",
)  # fmt: skip

NAMES = [
    "<script>window.hacked = 1</script>", "</script><script>window.hacked = 2</script>", "<!--<script>", "]]>",
    '" onmouseover="window.hacked = 3', "' autofocus onfocus='window.hacked = 4'", "&lt;b&gt;", "{{ 7 * 7 }}{% raw %}",
    "<img src=x onerror=window.hacked=5>", "${window.hacked = 6}", "javascript:window.hacked=7", "`", "\\u003c",
    "\x00", "\x1b[31m", "\u202edesrever", "\u2066x", "\u2028", "\u2029", "\ufeff", "\u00ad", "e\u0301", "\u0301", "😀",
    "👩\u200d👧", "שלום", "مرحبا", "速", "\n", "\n\n", "\t", " ", "  ", " the", "constructor", "__proto__", "",
    "a" * 300,
]  # fmt: skip


class Browser:
    """Chromium, told what to do over two pipes: messages of its DevTools protocol, each ended by a NUL."""

    def __init__(self, profile: Path) -> None:
        commands, self._out = os.pipe()
        self._in, answers = os.pipe()
        shell = f'exec "$@" 3<&{commands} 4>&{answers} >{profile}.log 2>&1'
        command = ["bash", "-c", shell, "bash", str(CHROMIUM), *FLAGS, f"--user-data-dir={profile}"]
        self._process = subprocess.Popen(command, pass_fds=(commands, answers), stdin=subprocess.DEVNULL)
        os.close(commands)
        os.close(answers)
        self._number, self._session, self._buffer = 0, "", b""
        self.events: list[dict[str, Any]] = []

    def close(self) -> None:
        self._session = ""
        self("Browser.close")
        self._process.wait(30)
        os.close(self._out)
        os.close(self._in)

    def __call__(self, method: str, **parameters: Any) -> Any:
        """Send a command; its result."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        while (answer := self._next()).get("id") != self._number:
            self.events.append(answer)
        assert "error" not in answer, answer
        return answer["result"]

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            data = os.read(self._in, 1 << 16)
            assert data, "the browser has ended"
            self._buffer += data
        message, _, self._buffer = self._buffer.partition(b"\0")
        return json.loads(message)

    def open(self, path: Path, width: int = 1280, *, dark: bool = False) -> None:
        """A new tab with the page of a file, loaded."""
        self._session = ""
        target = self("Target.createTarget", url="about:blank")["targetId"]
        self._session = self("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self(f"{domain}.enable")
        self("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)
        theme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self("Emulation.setEmulatedMedia", features=theme)
        self.events.clear()
        self("Page.navigate", url=path.as_uri())
        while not any(event["method"] == "Page.loadEventFired" for event in self.events):
            self.events.append(self._next())

    def __getitem__(self, expression: str) -> Any:
        """The value of JavaScript in the page."""
        found = self("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def settle(self) -> None:
        """Until the page has handled what happened to it: a <details> tells that it was opened in a task of its own."""
        later = "new Promise((done) => setTimeout(() => setTimeout(done)))"
        self("Runtime.evaluate", expression=later, awaitPromise=True)

    def press(self, key: str) -> None:
        for kind in ("keyDown", "keyUp"):
            self("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=KEYS[key])

    def mouse(self, selector: str, *kinds: str) -> None:
        """Move the pointer to the middle of an element, and press and release if told so."""
        box = f"document.querySelector({json.dumps(selector)})"
        x, y = self[
            f"(({{left, top, width, height}}) => [left + width / 2, top + height / 2])({box}.getClientRects()[0])"
        ]
        for kind in ("mouseMoved", *kinds):
            self(
                "Input.dispatchMouseEvent",
                type=kind,
                x=x,
                y=y,
                button="none" if kind == "mouseMoved" else "left",
                clickCount=1,
            )

    def click(self, selector: str) -> None:
        self.mouse(selector, "mousePressed", "mouseReleased")

    def text(self, selector: str) -> str:
        return self[f"document.querySelector({json.dumps(selector)}).textContent"]

    def complaints(self) -> list[Any]:
        """Errors, warnings and refusals of the page's policy."""
        kinds = ("Runtime.exceptionThrown", "Log.entryAdded", "Runtime.consoleAPICalled")
        return [event["params"] for event in self.events if event["method"] in kinds]

    def requests(self) -> list[str]:
        sent = (event["params"]["request"] for event in self.events if event["method"] == "Network.requestWillBeSent")
        return [request["url"] for request in sent]


KEYS = {
    "Tab": 9, "Escape": 27, " ": 32, "PageUp": 33, "PageDown": 34, "End": 35, "Home": 36,
    "ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40,
}  # fmt: skip

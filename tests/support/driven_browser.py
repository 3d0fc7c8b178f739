"""A real browser that a test drives by the DevTools protocol: it types, clicks, and tells what the browser keeps.

The protocol runs over a pipe of the browser's own (`--remote-debugging-pipe`), so nobody else reaches it.
"""

import asyncio
import base64
import itertools
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support.browsing import BROWSER_SECONDS, options
from tests.support.programs import require_program
from tests.support.waiting import eventually_async

END = b"\0"
AS_3_AND_4 = (
    "import os, sys; os.dup2(int(sys.argv[1]), 3); os.dup2(int(sys.argv[2]), 4); os.execv(sys.argv[3], sys.argv[3:])"
)
"""The browser reads commands from the descriptor 3 and answers on 4."""
AXE = Path(__file__).parent / "axe" / "axe.min.js"
REFUSED = "the server responded with a status of 4"
KEYS = {
    "Tab": ("Tab", 9, ""),
    "Enter": ("Enter", 13, "\r"),
    "Escape": ("Escape", 27, ""),
    "ArrowRight": ("ArrowRight", 39, ""),
    "ArrowDown": ("ArrowDown", 40, ""),
}


@dataclass
class Browser:
    """A running browser: commands go out by the pipe, answers come in."""

    to_browser: asyncio.StreamWriter
    _numbers: Any = field(default_factory=lambda: itertools.count(1))
    _waiting: dict[int, asyncio.Future[dict[str, Any]]] = field(default_factory=dict)
    console: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    """Requests that were answered with 4xx, which a browser writes to its console whatever the page makes of it."""
    held: asyncio.Queue[dict[str, Any]] = field(default_factory=asyncio.Queue)
    """Requests that wait for a test (`Tab.hold`)."""

    async def send(self, method: str, session: str | None = None, **parameters: Any) -> dict[str, Any]:
        """Send a command; return its result."""
        number = next(self._numbers)
        self._waiting[number] = asyncio.get_running_loop().create_future()
        command = {"id": number, "method": method, "params": parameters}
        self.to_browser.write(json.dumps(command if session is None else {**command, "sessionId": session}).encode())
        self.to_browser.write(END)
        answer = await asyncio.wait_for(self._waiting[number], BROWSER_SECONDS)
        assert "error" not in answer, (method, answer)
        result: dict[str, Any] = answer["result"]
        return result

    async def listen(self, from_browser: asyncio.StreamReader) -> None:
        """Take answers and what pages write to the console, until cancelled."""
        while True:
            message = json.loads((await from_browser.readuntil(END))[:-1])
            if (waiting := self._waiting.pop(message.get("id"), None)) is not None:
                waiting.set_result(message)
            elif message.get("method") == "Fetch.requestPaused":
                self.held.put_nowait(message["params"])
            elif message.get("method") == "Log.entryAdded":
                entry = message["params"]["entry"]
                if entry["source"] == "network" and REFUSED in entry["text"]:
                    self.refused.append(f"{entry['text'].partition(REFUSED)[2][:2]} {entry['url']}")
                elif entry["level"] != "verbose":  # hints to authors
                    self.console.append(f"{entry['text']} {entry.get('url', '')}".strip())
            elif message.get("method") == "Runtime.exceptionThrown":
                self.console.append(json.dumps(message["params"]["exceptionDetails"])[:2000])
            elif message.get("method") == "Runtime.consoleAPICalled":
                self.console.append(json.dumps(message["params"]["args"])[:2000])

    async def open_tab(self) -> "Tab":
        """Open a tab."""
        target = (await self.send("Target.createTarget", url="about:blank"))["targetId"]
        session = (await self.send("Target.attachToTarget", targetId=target, flatten=True))["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            await self.send(f"{domain}.enable", session)
        return Tab(self, session)

    async def cookies(self) -> list[dict[str, Any]]:
        """The cookies that the browser keeps, as it sees them."""
        kept: list[dict[str, Any]] = (await self.send("Storage.getCookies"))["cookies"]
        return kept


@dataclass(frozen=True)
class Tab:
    """A tab of the browser."""

    browser: Browser
    session: str

    async def send(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send a command about the tab."""
        return await self.browser.send(method, self.session, **parameters)

    async def go(self, url: str) -> None:
        """Open an address, as a person that types it; wait until the page is there."""
        await self._leave(lambda: self.send("Page.navigate", url=url))

    async def evaluate(self, script: str) -> Any:
        """Return what a script gives in the page."""
        answer = await self.send("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    async def act(self, selector: str) -> None:
        """Click what stays on the page; wait until it is there."""
        await self.see(f"document.querySelector({json.dumps(selector)})")
        await self.evaluate(f"document.querySelector({json.dumps(selector)}).click()")

    async def fill(self, selector: str, text: str) -> None:
        """Put a text into a field in place of what it holds, as typing does."""
        found = f"document.querySelector({json.dumps(selector)})"
        await self.see(found)
        await self.evaluate(f"{found}.focus(); {found}.select?.()")
        await self.type(text)

    async def see(self, script: str) -> None:
        """Wait until a script gives something true."""

        async def is_so() -> bool:
            return bool(await self.evaluate(f"!!({script})"))

        await self.wait(is_so)

    async def see_text(self, text: str) -> None:
        """Wait until the page shows a text."""
        await self.see(f"document.body.innerText.includes({json.dumps(text)})")

    async def look_like(self, *, width: int = 1280, height: int = 900, is_dark: bool = False) -> None:
        """Draw the page as on a screen of this width, by day or by night."""
        await self.send(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if is_dark else "light"}
        await self.send("Emulation.setEmulatedMedia", features=[scheme])

    async def picture(self, file: Path, *, is_whole: bool = True) -> None:
        """Write the whole page, or what its window shows, as a PNG file."""
        answer = await self.send("Page.captureScreenshot", format="png", captureBeyondViewport=is_whole)
        file.write_bytes(base64.b64decode(answer["data"]))  # noqa: ASYNC240 (a test's own file)

    async def barriers(self) -> list[str]:
        """Return what axe-core finds that keeps somebody out: each rule with the elements that break it."""
        await self.evaluate(AXE.read_text(encoding="utf-8") + ";0")
        found: list[str] = await self.evaluate(
            "axe.run().then((got) => got.violations.map((rule) =>"
            " `${rule.id}: ${rule.nodes.map((node) => node.html).join(' | ')}`))"
        )
        return found

    async def is_wider_than_its_window(self) -> bool:
        """Return whether the page must be scrolled sideways."""
        return bool(await self.evaluate("document.documentElement.scrollWidth > window.innerWidth"))

    async def hold(self, *patterns: str) -> None:
        """Hold up what the page requests from addresses like these (`*` stands for any text) from now on."""
        await self.send("Fetch.enable", patterns=[{"urlPattern": pattern} for pattern in patterns])

    async def held(self) -> "Held":
        """Wait for the next request that is held up."""
        paused = await asyncio.wait_for(self.browser.held.get(), BROWSER_SECONDS)
        return Held(self, paused["requestId"], paused["request"])

    async def text(self) -> str:
        """Return the page's visible text."""
        return str(await self.evaluate("document.body.innerText"))

    async def text_of(self, selector: str) -> str:
        """Return the visible text of the first element that a selector matches."""
        return str(await self.evaluate(f"document.querySelector({json.dumps(selector)}).innerText"))

    async def title(self) -> str:
        """Return the page's title."""
        return str(await self.evaluate("document.title"))

    async def path(self) -> str:
        """Return the path and query of the page's address."""
        return str(await self.evaluate("location.pathname + location.search"))

    async def type(self, text: str) -> None:
        """Type into what has the focus."""
        await self.send("Input.insertText", text=text)

    async def press(self, name: str) -> None:
        """Press a key that stays on the page."""
        key, code, text = KEYS[name]
        for kind in ("keyDown", "keyUp"):
            pressed = {"key": key, "code": key, "windowsVirtualKeyCode": code}
            await self.send(
                "Input.dispatchKeyEvent", type=kind, **pressed, **({"text": text} if text and kind == "keyDown" else {})
            )

    async def press_enter(self) -> None:
        """Press Enter where that leads to another page, and wait for it."""
        await self._leave(lambda: self.press("Enter"))

    async def click(self, selector: str) -> None:
        """Click what leads to another page, and wait for it."""
        await self._leave(lambda: self.evaluate(f"document.querySelector({json.dumps(selector)}).click()"))

    async def _leave(self, act: Callable[[], Any]) -> None:
        await self.evaluate("window.isOfTheOldPage = true")
        await act()

        async def is_there() -> bool:
            answer = await self.send(
                "Runtime.evaluate",
                expression="!window.isOfTheOldPage && document.readyState === 'complete'",
                returnByValue=True,
            )
            return answer.get("result", {}).get("value") is True

        await self.wait(is_there)

    async def wait(self, look: Callable[[], Awaitable[bool]]) -> None:
        """Wait until something is true, for as long as a browser may take."""
        await eventually_async(look, seconds=BROWSER_SECONDS)


@dataclass(frozen=True)
class Held:
    """A request that is held up between the browser and the server."""

    tab: Tab
    number: str
    request: dict[str, Any]

    @property
    def key(self) -> str:
        """Its Idempotency-Key."""
        return str(self.request["headers"]["Idempotency-Key"])

    async def let_go(self) -> None:
        """Let the server have it."""
        await self.tab.send("Fetch.continueRequest", requestId=self.number)

    async def cut(self) -> None:
        """End its connection without an answer."""
        await self.tab.send("Fetch.failRequest", requestId=self.number, errorReason="ConnectionReset")

    async def answer(self, status: int, body: object, **headers: str) -> None:
        """Answer it in place of the server."""
        shown = [{"name": name.replace("_", "-"), "value": value} for name, value in headers.items()]
        content = base64.b64encode(json.dumps(body).encode()).decode()
        await self.tab.send(
            "Fetch.fulfillRequest", requestId=self.number, responseCode=status, responseHeaders=shown, body=content
        )


@asynccontextmanager
async def driven_browser(profile: Path, *, hosts_here: tuple[str, ...] = ()) -> AsyncIterator[Browser]:
    """Start a browser that reaches this machine only."""
    (read_commands, write_commands), (read_answers, write_answers) = os.pipe(), os.pipe()
    process = subprocess.Popen(  # noqa: ASYNC220 (it starts at once)
        [
            sys.executable,
            "-c",
            AS_3_AND_4,
            str(read_commands),
            str(write_answers),
            require_program("chromium"),
            *options(profile, hosts_here),
            "--remote-debugging-pipe",
        ],
        pass_fds=(read_commands, write_answers),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(read_commands)
    os.close(write_answers)
    loop = asyncio.get_running_loop()
    transport, protocol = await loop.connect_write_pipe(
        asyncio.streams.FlowControlMixin, os.fdopen(write_commands, "wb")
    )
    reader = asyncio.StreamReader(limit=2**24)
    reading, _ = await loop.connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(read_answers, "rb")
    )
    browser = Browser(asyncio.StreamWriter(transport, protocol, None, loop))
    listening = asyncio.create_task(browser.listen(reader))
    try:
        yield browser
    finally:
        listening.cancel()
        transport.close()
        reading.close()
        process.kill()
        process.wait()

"""Visitors, editors and uploads at a fixed rate, all of them counted."""

import queue
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPException

from tests.stack.browser import Browser
from tests.stack.wordpress import WordPressRefused, nonce_of_uploads, picture, upload

RATE = 20  # requests per second, half of them of editors
WINDOWS = 6  # that editors have open
_counter = iter(range(1_000_000))


class Traffic:
    """Runs while it is entered. visitor and editor: how they reach the site; the editor has logged in."""

    def __init__(self, visitor: Browser, editor: Browser) -> None:
        self._visitor = visitor
        self._windows: queue.Queue[Browser] = queue.Queue()
        for _ in range(WINDOWS):
            self._windows.put(editor.copy())
        self._uploader = editor.copy()
        self._nonce = nonce_of_uploads(editor)
        self._stop = threading.Event()
        self._pool = ThreadPoolExecutor(WINDOWS * 4)
        self._threads = [threading.Thread(target=work) for work in (self._ask, self._upload)]
        self.asked = 0
        self.failures: list[str] = []
        self.uploads: dict[str, bytes] = {}  # that were answered 2xx, by path
        self.nodes: set[str] = set()
        self.began = self.lasted = 0.0

    def __enter__(self) -> "Traffic":
        self.began = time.monotonic()
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()
        self._pool.shutdown()
        self.lasted = time.monotonic() - self.began

    def text(self) -> str:
        """One line of what happened."""
        rate = self.asked / self.lasted
        return (
            f"{self.asked} requests in {self.lasted:.0f} s ({rate:.1f}/s), {len(self.failures)} failed; "
            f"{len(self.uploads)} uploads; nodes: {', '.join(sorted(self.nodes))}"
        )

    def _ask(self) -> None:
        turn = 0
        while not self._stop.wait(max(0.0, self.began + turn / RATE - time.monotonic())):
            self._pool.submit(self._visit if turn % 2 else self._edit)
            turn += 1

    def _visit(self) -> None:
        browser = self._visitor.copy()
        self._count(browser, "/", "visitor")

    def _edit(self) -> None:
        try:
            browser = self._windows.get(timeout=60)
        except queue.Empty:
            return
        try:
            self._count(browser, ("/", "/wp-admin/profile.php")[next(_counter) % 2], "editor")
        finally:
            self._windows.put(browser)

    def _count(self, browser: Browser, path: str, who: str) -> None:
        begun = time.monotonic()
        try:
            answer = browser.get(path)
            good, told = answer.good, f"{answer.status} of {answer.node or '?'}, {len(answer.body)} bytes"
            self.nodes.add(answer.node)
        except (OSError, HTTPException) as error:
            good, told = False, repr(error)
        self.asked += 1
        if not good:
            self.failures.append(f"{begun - self.began:6.1f} s: {who} {path}: {told}, {time.monotonic() - begun:.1f} s")

    def _upload(self) -> None:
        turn = 0
        while not self._stop.wait(max(0.0, self.began + turn - time.monotonic())):
            turn += 1
            number = next(_counter)
            content = picture(number)
            begun = time.monotonic()
            try:
                self.uploads[upload(self._uploader, f"load-{number}.png", content, self._nonce)] = content
            except (OSError, HTTPException, WordPressRefused) as error:
                self.failures.append(f"{begun - self.began:6.1f} s: upload: {error!r}")

"""`mull chat` on a terminal with a person at it, and over a pipe; and models that call a tool."""

import asyncio
import io
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from fault_server import FaultServer, Reply
from leftovers import until

from mull.cli import main

SETTINGS = ("MULL_MODEL", "OPENAI_BASE_URL", "OPENAI_API_KEY")
PROGRAM = """
import fcntl, os, sys, termios
from pathlib import Path
from mull.cli import main
from mull.tools import as_tool, registry

def send(to: str) -> str:
    "Send a greeting."
    Path("sent").write_text(to)
    return f"sent to {to}"

if os.isatty(0):
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)  # Keys such as Ctrl-C become signals.
registry.BUILT_IN = {"send": lambda: as_tool(send, side_effects=True)}
sys.exit(main(["chat", "--depth", "reason", *sys.argv[1:]]))
"""
"""The command, with a tool that has side effects. It answers at a depth of one call."""


@dataclass
class Place:
    """A folder to run `mull chat` in; its threads are there too."""

    folder: Path
    server: FaultServer

    async def start(self, arguments: tuple[str, ...], **more: object) -> asyncio.subprocess.Process:
        """Start the command on the server."""
        bare = {name: value for name, value in os.environ.items() if name not in SETTINGS}
        where = {"MULL_THREADS": str(self.threads), "TERM": "xterm", "COLUMNS": "100"}
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", PROGRAM, *self.on_server, *arguments),
            cwd=self.folder,
            env={**bare, **where},
            **more,  # type: ignore[arg-type]
        )

    @property
    def threads(self) -> Path:
        """Where the threads are."""
        return self.folder / "threads"

    @property
    def on_server(self) -> tuple[str, ...]:
        """The options that name the server."""
        return ("--model", "m", "--base-url", self.server.base_url)

    @property
    def sent(self) -> str | None:
        """To whom the tool has really sent something."""
        file = self.folder / "sent"
        return file.read_text() if file.exists() else None

    def asked(self, number: int = -1) -> list[str]:
        """What the model was told in one request, without the system prompt."""
        messages = self.server.requests[number].body["messages"]
        return [str(m["content"]) for m in messages if m["role"] != "system"]


@dataclass
class Done:
    """What a command left behind."""

    code: int | None
    out: str
    err: str


@dataclass
class Pipe(Place):
    """`mull chat` between pipes. It runs in this process: no start-up to wait for."""

    capsys: pytest.CaptureFixture[str]
    monkeypatch: pytest.MonkeyPatch

    async def chat(self, typed: str, *arguments: str) -> Done:
        """Run the command on this input."""
        data = io.BytesIO(typed.encode(errors="surrogateescape"))
        self.monkeypatch.setattr("sys.stdin", io.TextIOWrapper(data, "utf-8"))
        given = ["chat", "--depth", "reason", *self.on_server, *arguments]
        code = await asyncio.to_thread(main, given)
        return Done(code, *self.capsys.readouterr())


@dataclass
class Person(Place):
    """Somebody at a terminal with `mull chat`."""

    shown: str = ""
    _seen: int = 0
    _terminal: int = -1
    _process: asyncio.subprocess.Process | None = None
    _over: asyncio.Event = field(default_factory=asyncio.Event)

    async def opens(self, *arguments: str) -> None:
        """Start the command on a new terminal, and wait for its prompt."""
        self._terminal, program = os.openpty()
        self._over.clear()
        self._process = await self.start(
            arguments, stdin=program, stdout=program, stderr=program, start_new_session=True
        )
        os.close(program)
        asyncio.get_running_loop().add_reader(self._terminal, self._read)

    async def sees(self, text: str) -> str:
        """Wait for what is shown next; what stood before it."""
        try:
            await until(lambda: text in self.shown[self._seen :] or self._over.is_set(), 30)
        except TimeoutError:
            raise AssertionError(f"no {text!r} in {self.shown[self._seen :]!r}") from None
        before, found, _ = self.shown[self._seen :].partition(text)
        assert found, f"no {text!r} in {before!r}"
        self._seen += len(before) + len(found)
        return before

    async def asks(self, text: str) -> None:
        """Wait for the prompt, and type a line."""
        await self.sees("> ")
        self.types(f"{text}\r")
        await self.sees(text)

    def types(self, keys: str) -> None:
        """Press keys."""
        os.write(self._terminal, keys.encode())

    async def leaves(self, keys: str = "\x04") -> int:
        """Press keys that end the command; its exit code."""
        assert self._process is not None
        self.types(keys)
        await self._over.wait()
        return await self._process.wait()

    async def loses_it(self) -> None:
        """The command is killed."""
        assert self._process is not None
        self._process.send_signal(signal.SIGKILL)
        await self._process.wait()
        await self._over.wait()

    async def goes(self) -> None:
        """Close the terminal, and end what still runs there."""
        assert "Traceback" not in self.shown, self.shown
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()
        if self._terminal >= 0:
            asyncio.get_running_loop().remove_reader(self._terminal)
            os.close(self._terminal)
            self._terminal = -1

    def _read(self) -> None:
        try:
            self.shown += os.read(self._terminal, 65536).decode(errors="replace")
        except OSError:  # The program has closed its end.
            asyncio.get_running_loop().remove_reader(self._terminal)
            self._over.set()


def says(*texts: str | Reply) -> Callable[[object], str | Reply]:
    """A model that says these one after the other, and the last again and again."""
    left = list(texts)
    return lambda _: left.pop(0) if len(left) > 1 else left[0]


def sends_to(*people: str) -> Callable[[object], str | Reply]:
    calls = [Reply(tool_calls=[("send", {"to": one})]) for one in people]
    return says(*calls, "It is done.")

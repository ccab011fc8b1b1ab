"""A server that speaks E2B's HTTP protocol on loopback, for its real client.

What would be a virtual machine there is here a Python inside the sandlock boundary, one for each
context; so the cells are real, and none of them can reach this machine. `answer` and `refuse` make
the server do what a hostile or broken machine would.
"""

import asyncio
import contextlib
import json
import os
import secrets
import shutil
import sys
import tempfile
import warnings
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from aiohttp import web

from mull.tools.sandbox import sandlock
from mull.tools.sandbox.calls import denied_calls

KEY = "test-key"
HOME = "/home/user"
LINE_BYTES = 64 * 1024 * 1024


class Kernel:
    """One context's Python; a new one after `kill` or when it dies."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._process: Any = None
        self._lines = asyncio.StreamReader()
        self._lock = asyncio.Lock()

    async def execute(self, code: str) -> AsyncGenerator[bytes, None]:
        """The lines that running `code` answers with, as they come."""
        async with self._lock:
            if self._process is None:
                await self._start()
            process = self._process
            os.write(process.stdin.fileno(), json.dumps(code).encode() + b"\n")
            while True:
                line = await self._lines.readline()
                if not line:
                    if self._process is process:
                        self.kill()
                    died = {"name": "WebsocketError", "value": "the kernel died", "traceback": ""}
                    yield json.dumps({"type": "error", **died}).encode() + b"\n"
                    return
                yield line
                if line.startswith(b'{"type": "end_of_execution"'):
                    return

    def kill(self) -> None:
        """End it, with what it is doing."""
        if self._process is not None:
            process, self._process = self._process, None
            process.kill()
            process.wait(1)
            for stream in (process.stdin, process.stderr):
                stream.close()

    async def _start(self) -> None:
        from sandlock.sandbox import Sandbox, StdioMode  # on Linux only

        home = str(self._home)
        box = Sandbox(
            fs_readable=sandlock._readable(),
            fs_writable=[home, "/dev/null"],
            cwd=home,
            clean_env=True,
            env=sandlock._environment(home, home),
            max_memory=1 << 30,
            max_processes=1,
            net_allow=sandlock._NO_NETWORK,
            extra_deny_syscalls=denied_calls(),
            **sandlock._identity(),
        )
        piped = StdioMode.PIPED
        command = [sys.executable, "-I", "-B", "-X", "utf8", "-c", WORKER]
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Policy field 'gid'")
            self._process = box.popen(command, stdin=piped, stdout=piped, stderr=piped)
        self._lines = asyncio.StreamReader(limit=LINE_BYTES)
        # The transport closes the descriptor at its end, so it gets one of its own.
        pipe = os.fdopen(os.dup(self._process.stdout.fileno()), "rb", buffering=0)
        self._process.stdout.close()
        await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(self._lines), pipe
        )


@dataclass
class Box:
    """One machine."""

    id: str
    home: Path
    timeout: int
    internet: bool
    token: str = field(default_factory=lambda: secrets.token_hex(8))
    kernels: dict[str, Kernel] = field(default_factory=dict)

    def place(self, path: str) -> Path:
        """Where a file of the machine is here."""
        return self.home / Path(path).relative_to(HOME)


class E2bServer:
    """Serves on a free port while it is open; `environment` points the client at it."""

    def __init__(self) -> None:
        self.boxes: dict[str, Box] = {}
        self.made = 0
        self.requests: list[str] = []
        self.most = 0
        """Machines that were there at once."""
        self.delay = 0.0
        """Seconds that a machine takes to start."""
        self.answer: Callable[[str], bytes | None] | None = None
        """Answers cells in place of the machine, where it does not return None."""
        self.refuse: Callable[[str, str], int | None] | None = None
        """The status to refuse a request with (method, path), or None."""
        self._root = Path(tempfile.mkdtemp(prefix="mull-e2b-"))
        self._runner: web.AppRunner | None = None
        self.environment: dict[str, str] = {}

    async def __aenter__(self) -> Self:
        app = web.Application(middlewares=[self._guard], client_max_size=1 << 28)
        app.router.add_post("/v2/sandboxes", self._create)
        app.router.add_delete("/sandboxes/{id}", self._delete)
        app.router.add_post("/sandboxes/{id}/timeout", self._set_timeout)
        app.router.add_get("/health", self._health)
        app.router.add_get("/files", self._read)
        app.router.add_post("/files", self._write)
        app.router.add_post("/contexts", self._context)
        app.router.add_post("/contexts/{id}/restart", self._restart)
        app.router.add_post("/execute", self._execute)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        address = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        self.environment = {
            "E2B_API_KEY": KEY,
            "E2B_API_URL": address,
            "E2B_SANDBOX_URL": address,
            "E2B_HTTP_VERSION": "1.1",
        }
        return self

    async def __aexit__(self, *error: object) -> None:
        for box in list(self.boxes.values()):
            self.end(box)
        assert self._runner is not None
        await self._runner.cleanup()
        shutil.rmtree(self._root, ignore_errors=True)

    def end(self, box: Box) -> None:
        """The machine is gone, as after its time."""
        del self.boxes[box.id]
        for kernel in box.kernels.values():
            kernel.kill()

    @web.middleware
    async def _guard(self, request: web.Request, handler: Any) -> web.StreamResponse:
        self.requests.append(f"{request.method} {request.path}")
        status = self.refuse(request.method, request.path) if self.refuse else None
        if status is not None:
            return web.json_response({"code": status, "message": "refused"}, status=status)
        if "sandboxes" in request.path:
            if request.headers.get("X-API-KEY") != KEY:
                return web.json_response({"code": 401, "message": "no such key"}, status=401)
            if "id" in request.match_info and request.match_info["id"] not in self.boxes:
                return web.json_response({"code": 404, "message": "gone"}, status=404)
        elif request.headers.get("E2b-Sandbox-Id") not in self.boxes:
            return web.json_response({"message": "The sandbox was not found"}, status=502)
        response: web.StreamResponse = await handler(request)
        return response

    def _box(self, request: web.Request) -> Box:
        return self.boxes[request.match_info.get("id") or request.headers["E2b-Sandbox-Id"]]

    async def _create(self, request: web.Request) -> web.Response:
        asked = await request.json()
        await asyncio.sleep(self.delay)
        self.made += 1
        name = f"box{self.made}"
        home = self._root / name
        home.mkdir()
        internet = asked.get("allow_internet_access", True)
        box = self.boxes[name] = Box(name, home, asked["timeout"], internet)
        self.most = max(self.most, len(self.boxes))
        told = {
            "templateID": asked["templateID"],
            "sandboxID": name,
            "clientID": "client",
            "envdVersion": "0.6.0",
            "envdAccessToken": box.token,
        }
        return web.json_response(told, status=201)

    async def _delete(self, request: web.Request) -> web.Response:
        self.end(self._box(request))
        return web.Response(status=204)

    async def _set_timeout(self, request: web.Request) -> web.Response:
        self._box(request).timeout = (await request.json())["timeout"]
        return web.Response(status=204)

    async def _health(self, request: web.Request) -> web.Response:
        return web.Response(status=204)

    async def _read(self, request: web.Request) -> web.StreamResponse:
        box = self._box(request)
        assert request.headers["X-Access-Token"] == box.token
        path = box.place(request.query["path"])
        if not path.is_file():
            return web.json_response({"message": "no such file"}, status=404)
        return web.FileResponse(path)

    async def _write(self, request: web.Request) -> web.Response:
        box = self._box(request)
        assert request.headers["X-Access-Token"] == box.token
        form = await request.post()
        path = box.place(request.query["path"])
        path.parent.mkdir(parents=True, exist_ok=True)
        file = form["file"]
        assert isinstance(file, web.FileField)
        path.write_bytes(file.file.read())
        told = [{"name": path.name, "type": "file", "path": request.query["path"]}]
        return web.json_response(told)

    async def _context(self, request: web.Request) -> web.Response:
        box = self._box(request)
        name = f"context{len(box.kernels) + 1}"
        box.kernels[name] = Kernel(box.home)
        return web.json_response({"id": name, "language": "python", "cwd": HOME})

    async def _restart(self, request: web.Request) -> web.Response:
        box = self.boxes[request.headers["E2b-Sandbox-Id"]]
        box.kernels[request.match_info["id"]].kill()
        return web.Response(status=200)

    async def _execute(self, request: web.Request) -> web.StreamResponse:
        box = self._box(request)
        assert request.headers["X-Access-Token"] == box.token
        asked = await request.json()
        response = web.StreamResponse()
        await response.prepare(request)
        forged = self.answer(asked["code"]) if self.answer else None
        with contextlib.suppress(ConnectionError):
            if forged is not None:
                await response.write(forged)
            else:
                kernel = box.kernels[asked["context_id"]]
                async with contextlib.aclosing(kernel.execute(asked["code"])) as lines:
                    async for line in lines:
                        await response.write(line)
            await response.write_eof()
        return response


WORKER = r"""
import ast, json, os, sys

requests, wire = os.fdopen(os.dup(0)), os.dup(1)

def say(**frame):
    data = json.dumps(frame).encode() + b"\n"
    while data:
        data = data[os.write(wire, data):]

class Stream:
    def __init__(self, kind):
        self.kind = kind
    def write(self, text):
        say(type=self.kind, text=text, timestamp=0)
        return len(text)
    def flush(self):
        pass

sys.stdout, sys.stderr = Stream("stdout"), Stream("stderr")
space = {"__name__": "__main__"}
for count, line in enumerate(requests, 1):
    name = f"cell {count}"
    try:
        tree = ast.parse(json.loads(line), name)
        last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
        exec(compile(tree, name, "exec"), space)
        value = eval(compile(ast.Expression(last.value), name, "eval"), space) if last else None
        if value is not None:
            say(type="result", text=repr(value), is_main_result=True)
    except BaseException as error:
        at = error.__traceback__
        while at.tb_next:
            at = at.tb_next
        trace = f"\x1b[0;31mError\x1b[0m\nCell In[{count}], line {at.tb_lineno}\n---> the line"
        say(type="error", name=type(error).__name__, value=str(error), traceback=trace)
    say(type="number_of_executions", execution_count=count)
    say(type="end_of_execution")
"""

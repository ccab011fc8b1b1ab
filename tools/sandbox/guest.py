"""Runs inside the sandlock boundary: executes cells, keeps their state, answers on its own pipe.

Only the standard library, and nothing of mull: the guest cannot read mull's files. The host passes
this file's text to `python -c`, with the reply pipe's path, the longest text in characters and the
directory for pictures as arguments.
"""

import ast
import contextlib
import json
import linecache
import os
import signal
import sys
import traceback
import types
import warnings

PICTURES = 8


class Worker:
    def __init__(self, replies: int, text_characters: int, aside: str) -> None:
        self.replies = replies
        self.longest = text_characters
        self.aside = aside
        # Users' code may close or redirect 0, 1 and 2; each call starts from these copies.
        self.requests, self.out, self.err = os.dup(0), os.dup(1), os.dup(2)
        self.null = os.open("/dev/null", os.O_RDWR)
        self.module = types.ModuleType("__main__")
        sys.modules["__main__"] = self.module
        self.running = False
        self.cells = 0

    def serve(self) -> None:
        with os.fdopen(self.requests, "rb") as requests:
            self.answer("ready", None, None)
            for line in requests:
                request = json.loads(line)
                self.prepare()
                text, error = None, None
                try:
                    text = self.run(request["code"])
                except BaseException as raised:  # noqa: BLE001 - a cell may raise anything
                    error = self.describe(raised)
                    self.forget_figures()
                self.flush()
                self.answer(request["id"], text, error)

    def prepare(self) -> None:
        os.dup2(self.null, 0)
        os.dup2(self.out, 1)
        os.dup2(self.err, 2)
        # Line buffering: what was printed before a kill has already left.
        sys.stdin = os.fdopen(0, closefd=False)
        sys.stdout, sys.stderr = (
            os.fdopen(fd, "w", buffering=1, errors="backslashreplace", closefd=False)
            for fd in (1, 2)
        )
        signal.signal(signal.SIGINT, self.interrupted)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})

    def interrupted(self, number: int, frame: object) -> None:
        # Only the cell is interrupted; one that has just ended must still be answered.
        if self.running:
            self.running = False
            raise KeyboardInterrupt

    def run(self, code: str) -> "str | None":
        self.cells += 1
        name = f"<cell {self.cells}>"
        linecache.cache[name] = (len(code), None, code.splitlines(keepends=True), name)
        namespace = self.module.__dict__
        self.running = True
        try:
            parsed: int = ast.PyCF_ONLY_AST
            tree = compile(code, name, "exec", parsed)
            last = tree.body[-1] if tree.body else None
            if not isinstance(last, ast.Expr):
                exec(compile(tree, name, "exec"), namespace)
                self.draw(None)
                return None
            del tree.body[-1]
            exec(compile(tree, name, "exec"), namespace)
            value = eval(compile(ast.Expression(last.value), name, "eval"), namespace)
            self.draw(value)
            if value is None:
                return None
            namespace["_"] = value
            # One more than is kept, so that the host sees that it was cut.
            return repr(value)[: self.longest + 1]
        finally:
            self.running = False

    def draw(self, value: object) -> None:
        """Leave the open figures, and a value that is a picture, as files for the host."""
        drawn = 0
        pyplot = sys.modules.get("matplotlib.pyplot")
        if pyplot is not None:
            for number in pyplot.get_fignums()[:PICTURES]:
                pyplot.figure(number).savefig(self.place(drawn), format="png", bbox_inches="tight")
                drawn += 1
            pyplot.close("all")
        if drawn < PICTURES and hasattr(type(value), "_repr_png_"):
            with open(self.place(drawn), "wb") as file:
                file.write(value._repr_png_())  # type: ignore[attr-defined]

    def place(self, number: int) -> str:
        return os.path.join(self.aside, f"{number}.png")

    def forget_figures(self) -> None:
        # Those of a cell that failed would come with the next one's.
        if "matplotlib.pyplot" in sys.modules:
            with contextlib.suppress(BaseException):
                sys.modules["matplotlib.pyplot"].close("all")

    def describe(self, raised: BaseException) -> "list[str]":
        try:
            shown = traceback.TracebackException.from_exception(raised, limit=-20, compact=True)
            # The worker's own frames are noise to whoever reads the cell's error.
            own = self.serve.__code__.co_filename
            kept = [frame for frame in shown.stack if frame.filename != own]
            shown.stack = traceback.StackSummary.from_list(kept)
            parts = [type(raised).__name__, str(raised), "".join(shown.format())]
        except BaseException as broken:  # noqa: BLE001 - so may an exception's text
            parts = [type(raised).__name__, f"(its text failed: {type(broken).__name__})", ""]
        return [parts[0], parts[1][: self.longest], parts[2][-self.longest :]]

    def flush(self) -> None:
        # A cell may leave any object as its streams, and close the real ones.
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(BaseException):
                stream.flush()
        if "ctypes" in sys.modules:
            with contextlib.suppress(BaseException):
                sys.modules["ctypes"].CDLL(None).fflush(None)

    def answer(self, call: str, text: "str | None", error: "list[str] | None") -> None:
        data = json.dumps({"id": call, "text": text, "error": error}).encode() + b"\n"
        while data:
            data = data[os.write(self.replies, data) :]


def main() -> None:
    path, text_characters, aside = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    # Descriptors the host's other code left inheritable would be a way around the boundary.
    os.closerange(3, 1 << 16)
    sys.path.append(os.getcwd())
    sys.argv = [""]
    # `show` draws nothing here: what it would show comes back at the end of the cell.
    warnings.filterwarnings("ignore", "FigureCanvasAgg is non-interactive")
    worker = Worker(os.open(path, os.O_WRONLY), text_characters, aside)
    signal.signal(signal.SIGINT, worker.interrupted)
    worker.serve()


if __name__ == "__main__":
    main()

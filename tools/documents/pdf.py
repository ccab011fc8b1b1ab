"""PDFs as pages of text, read in a process of their own."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

WORKER = Path(__file__).with_name("pdf_worker.py")


class PdfReader:
    """Reads PDFs one after the other, in one process that is started by the first.

    Args:
        seconds: How long one file may take; its process is killed then.
    """

    def __init__(self, seconds: float = 60.0) -> None:
        self._seconds = seconds
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._stop()

    def read(self, data: bytes, characters: int, problems: list[str]) -> Iterator[tuple[int, str]]:
        """Number (from 1) and text of each page that can be read; `problems` gets the rest.

        Pages up to `characters` in all are given.
        """
        process = self._process = self._process or _started()
        late = threading.Event()

        def kill() -> None:
            late.set()
            process.kill()

        timer = threading.Timer(self._seconds, kill)
        timer.daemon = True
        timer.start()
        skipped: list[int] = []
        try:
            for answer in _answers(process, data, characters):
                if "page" in answer:
                    yield answer["page"], _clean(answer["text"])
                elif "skipped" in answer:
                    skipped.append(answer["skipped"])
                else:
                    problems += [answer["end"]] if answer["end"] else []
                    break
            else:
                why = f"took longer than {self._seconds:g} s" if late.is_set() else "crashed"
                problems.append(f"reading it {why}")
                self._stop()
        except GeneratorExit:
            self._stop()  # Nobody reads the rest of its answers.
            raise
        finally:
            timer.cancel()
            timer.join()
            if late.is_set():
                self._stop()
        if skipped:
            some = ", ".join(map(str, skipped[:10])) + (" …" if len(skipped) > 10 else "")
            problems.append(f"pages that cannot be read: {some}")

    def _stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None


def _started() -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        # -P: the folder beside it holds modules of ours, which must not stand for others.
        [sys.executable, "-P", str(WORKER)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )


def _answers(
    process: subprocess.Popen[bytes], data: bytes, characters: int
) -> Iterator[dict[str, Any]]:
    """What the process says, until it ends."""
    assert process.stdin is not None
    assert process.stdout is not None
    head = json.dumps({"size": len(data), "characters": characters})
    try:
        process.stdin.write(head.encode() + b"\n" + data)
        process.stdin.flush()
    except OSError:
        return
    while (line := process.stdout.readline()).endswith(b"\n"):
        yield json.loads(line)


def _clean(text: str) -> str:
    """Without what no text can hold: lone surrogates and NULs."""
    return text.encode("utf-8", "replace").decode().replace("\0", "")

"""The embedded model: a llama.cpp server in this process, on a free loopback port."""

from __future__ import annotations

import threading
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

from ...errors import MullError

MODEL = "model.gguf"
SLOTS = 8
"""Requests answered at once."""
CONTEXT = 1024
"""Tokens of prompt and reply together: what the model was trained with."""

_lock = threading.Lock()
_servers: dict[str, Any] = {}


class DemoUnavailable(MullError):
    """The package that runs the embedded model is not installed."""


def demo_url() -> str:
    """Address of the embedded model's server, started by the first call.

    It ends with the process. Raises `DemoUnavailable`.
    """
    with _lock:
        if MODEL not in _servers:
            # Outside a folder the file is a temporary one, at another place each time.
            with as_file(files(__package__) / MODEL) as path:
                _servers[MODEL] = _start(path)
        return _address(_servers[MODEL])


def serve(path: Path) -> str:
    """Address of a server of this GGUF file, in this process. Raises `DemoUnavailable`."""
    key = str(path.resolve())
    with _lock:
        if key not in _servers:
            _servers[key] = _start(path)
        return _address(_servers[key])


def _address(server: Any) -> str:
    return f"{server.listening_address}/v1"


def _start(path: Path) -> Any:
    try:
        import xllamacpp  # An extra of 34 MB: asked for only where it is used.
    except ImportError:
        raise DemoUnavailable(
            "the embedded model needs the extra `demo`: pip install 'mull[demo]'"
        ) from None
    params = xllamacpp.CommonParams()
    params.model.path = str(path)
    params.model_alias = {"demo"}
    params.n_parallel = SLOTS
    params.n_ctx = CONTEXT * SLOTS
    # A model this small is slower on several threads than on one.
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
    params.use_jinja = True
    params.warmup = False
    params.hostnames = ["127.0.0.1"]
    params.verbosity = -1
    params.port = 0
    return xllamacpp.Server(params)

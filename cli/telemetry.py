"""Exporting a command's spans over OTLP, where the environment names a receiver."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec

from .. import __version__

ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
"""The variables of OpenTelemetry that name a receiver."""
COMMANDS = frozenset({"ask", "run", "batch", "chat"})
"""The commands that answer questions."""
NEEDED = ("opentelemetry.sdk", "opentelemetry.exporter.otlp.proto.http")


@contextmanager
def exporting(command: str) -> Iterator[None]:
    """Send the spans of what runs in the block; at its end, those that are left.

    Without the extra `otel`, the block runs untraced and a line on stderr says so. A receiver that
    is not there holds up the end for at most `OTEL_EXPORTER_OTLP_TIMEOUT` seconds (10).
    """
    named = next((name for name in ENDPOINTS if os.environ.get(name)), None)
    if named is None or command not in COMMANDS:
        yield
        return
    if not _installed():
        lack = f"{named} is set, but nothing is sent: pip install 'mull[otel]'"
        print(f"mull: {lack}", file=sys.stderr)
        yield
        return
    from opentelemetry import trace
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import OTELResourceDetector, Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    from ..telemetry import span

    ours = {"service.name": "mull", "service.version": __version__}
    resource = Resource.create({**ours, **OTELResourceDetector().detect().attributes})
    # Here the block's end sends the rest, and not the interpreter's.
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)
    with _told():
        try:
            if command == "run":
                with span("mull run", {}):  # The steps of a script are one trace.
                    yield
            else:
                yield
        finally:
            provider.shutdown()


@contextmanager
def _told() -> Iterator[None]:
    """What goes wrong with the sending is a line of ours; that it is tried again is none."""
    log, told = logging.getLogger("opentelemetry"), logging.StreamHandler(sys.stderr)
    told.setLevel(logging.ERROR)
    told.setFormatter(logging.Formatter("mull: OpenTelemetry: %(message)s"))
    log.addHandler(told)
    try:
        yield
    finally:
        log.removeHandler(told)


def _installed() -> bool:
    try:
        return all(find_spec(name) is not None for name in NEEDED)
    except ModuleNotFoundError:  # A package above it is missing.
        return False

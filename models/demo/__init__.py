"""The embedded model: small, real, and nothing to configure."""

from .profile import DEMO_PROFILE
from .server import DemoUnavailable, demo_url

__all__ = ["DEMO_PROFILE", "DemoUnavailable", "demo_url"]

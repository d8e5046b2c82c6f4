"""Errors of maps."""

from __future__ import annotations

from export.errors import SignoffError


class CamError(SignoffError):
    """A network whose logit cannot be traced back to places of the image."""

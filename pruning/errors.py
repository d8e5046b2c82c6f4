"""What can go wrong between a dense detector and a pruned one."""

from __future__ import annotations

from export.errors import SignoffError


class PruningError(SignoffError):
    """A detector cannot be pruned as asked."""

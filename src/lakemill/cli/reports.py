"""Where jobs put their reports."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path


def newest_report(root: str, *, since: datetime | None = None) -> Path | None:
    """Return the newest HTML report of a workspace, or None.

    Parameters
    ----------
    root
        The workspace's root.
    since
        Reports written before are left out.
    """
    found = [(path.stat().st_mtime, path) for path in Path(root, "reports").rglob("*.html")]
    oldest = since.timestamp() if since else 0.0
    return max(((at, path) for at, path in found if at >= oldest), default=(0.0, None))[1]

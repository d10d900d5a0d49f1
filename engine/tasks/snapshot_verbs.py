"""Snapshots, as runs."""

from __future__ import annotations

from collections.abc import Sequence

from ..plan.snapshots import plan_revert, plan_snapshot
from ..state.prefix import Prefix
from .changing import Changing
from .runs import RunHandle


class SnapshotVerbs(Changing):
    """Freezes machines under a name, and puts them back."""

    def snapshot(self, env: Prefix, name: str, machines: Sequence[str] = ()) -> RunHandle[None]:
        """Freeze the disks of machines under a name; all of them when none is named."""
        return self._plan_and_do("snapshot", f"Create snapshot {name}", env, machines, lambda state: plan_snapshot(state, name, machines))

    def revert(self, env: Prefix, name: str, machines: Sequence[str] = ()) -> RunHandle[None]:
        """Go back to a snapshot; what was written since is lost."""
        title = f"Revert to snapshot {name}"
        return self._plan_and_do("revert", title, env, machines, lambda state: plan_revert(state, name, machines))

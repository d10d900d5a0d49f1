"""Deploy scripts: copied into the prefix at init, so that it stands alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import PurePath

from ..spec import MachineSpec
from .model import Step, StepKind
from .names import Names

KEY = "deploy-scripts"
"""Of a machine's metadata: absolute paths of scripts, in the order in which `deploy` runs them."""


class Scripts:
    """Gives each script its place in `<prefix>/scripts`: its full path, with `_` for `/`."""

    def __init__(self, prefix: str) -> None:
        self._folder = PurePath(prefix, "scripts")
        self._names = Names()
        self._copies: dict[str, str] = {}

    def placed(self, machine: MachineSpec) -> MachineSpec:
        """Return the machine with its scripts where they will be."""
        scripts = machine.metadata.get(KEY)
        if not scripts:
            return machine
        return replace(machine, metadata={**machine.metadata, KEY: [self._copy_of(script) for script in scripts]})

    def steps(self) -> list[Step]:
        """Return what copies the scripts of all machines that were placed."""
        if not self._copies:
            return []
        return [
            Step(
                "copy-scripts",
                StepKind.COPY_SCRIPTS,
                ", ".join(PurePath(script).name for script in self._copies),
                "Copying any deploy scripts",
                args={"copies": dict(self._copies)},
                after=("make-prefix",),
            )
        ]

    def _copy_of(self, script: str) -> str:
        if script not in self._copies:
            self._copies[script] = str(self._folder / self._names.claim(script.replace("/", "_")))
        return self._copies[script]

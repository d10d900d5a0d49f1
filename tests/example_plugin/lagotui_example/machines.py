"""A type of machine, and a provider that keeps its machines on paper: in files of the environment's folder."""

from __future__ import annotations

from pathlib import Path

from lagotui.plugins import VMPlugin, VMProviderPlugin


class Database(VMPlugin):
    """A machine with a database in it."""

    def dump_command(self, name: str) -> list[str]:
        return ["pg_dump", name]


class Paper(VMProviderPlugin):
    """Writes down what should run."""

    @property
    def _page(self) -> Path:
        return Path(self.vm.prefix_path) / f"paper-{self.name()}"

    def bootstrap(self) -> None:
        self._page.write_text("down")

    def destroy(self) -> None:
        self._page.unlink(missing_ok=True)

    def start(self) -> None:
        self._page.write_text("running")
        self.vm.log("written down")

    def stop(self) -> None:
        self._page.write_text("down")

    def state(self) -> str:
        return self._page.read_text() if self._page.exists() else "down"

    def create_snapshot(self, name: str) -> None:
        self._page.with_name(f"{self._page.name}.{name}").write_text(self.state())

    def revert_snapshot(self, name: str) -> None:
        self._page.write_text(self._page.with_name(f"{self._page.name}.{name}").read_text())

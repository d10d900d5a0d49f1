"""What the UI remembers from one time to the next, in the user's config folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Preferences:
    folder: Path
    """Holds `themes/*.yaml` and `keymap.yaml` of the user's, and `theme`: the name of the chosen one."""

    @property
    def theme(self) -> str:
        """Name of the chosen theme; "" when none was chosen."""
        try:
            return (self.folder / "theme").read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError):  # nothing chosen yet, or nothing to be read: the default will do
            return ""

    @property
    def themes_folder(self) -> Path:
        return self.folder / "themes"

    @property
    def keymap_file(self) -> Path:
        return self.folder / "keymap.yaml"

    def save_theme(self, name: str) -> None:
        """Remember the chosen theme.

        Raises:
            OSError: the config folder cannot be written.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        part = self.folder / ".theme.part"
        part.write_text(f"{name}\n", encoding="utf-8")
        part.replace(self.folder / "theme")

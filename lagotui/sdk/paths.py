"""Where the files of an environment are, by the predecessor's names."""

from __future__ import annotations

import os
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Paths:
    """The paths of one prefix. Words that are given are joined below."""

    prefix_path: str
    """Absolute."""

    @property
    def prefix(self) -> str:
        return self.prefix_path

    def prefixed(self, *words: str) -> str:
        """Return a path below the prefix."""
        return os.path.join(self.prefix_path, *words)  # noqa: PTH118 - old scripts expect texts

    def uuid(self) -> str:
        return self.prefixed("uuid")

    def ssh_id_rsa(self) -> str:
        """Return the file of the private key that opens every machine."""
        return self.prefixed("id_rsa")

    def ssh_id_rsa_pub(self) -> str:
        return self.prefixed("id_rsa.pub")

    def logs(self) -> str:
        return self.prefixed("logs")

    def virt(self, *words: str) -> str:
        return self.prefixed("virt", *words)

    def images(self, *words: str) -> str:
        return self.prefixed("images", *words)

    def scripts(self, *words: str) -> str:
        return self.prefixed("scripts", *words)

    def metadata(self) -> str:
        return self.prefixed("metadata")

    def prefix_lagofile(self) -> str:
        """Return the file whose being there says that init came to its end."""
        return self.prefixed("initialized")

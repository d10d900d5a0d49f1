"""Answers for libvirt hosts that ask who we are: from the settings, else from the user."""

from __future__ import annotations

import getpass
import threading
from collections.abc import Callable

import libvirt

Ask = Callable[[str], str | None]

NAMES = (libvirt.VIR_CRED_AUTHNAME, libvirt.VIR_CRED_USERNAME)
SECRETS = (libvirt.VIR_CRED_PASSPHRASE, libvirt.VIR_CRED_NOECHOPROMPT)
REFUSALS = (libvirt.VIR_ERR_AUTH_FAILED, libvirt.VIR_ERR_AUTH_CANCELLED, libvirt.VIR_ERR_AUTH_UNAVAILABLE)
_RESULT = 4
"""Place of the answer in what libvirt asks: type, prompt, challenge, default, answer."""


class Login:
    """Who we are at one host. What the user was asked is kept for the next connection, in memory only."""

    def __init__(self, username: str | None = None, password: str | None = None, ask: Ask | None = None) -> None:
        """Prepare.

        Args:
            username: None: the user's own name.
            password: None: it is asked for, once it is needed.
            ask: asks the user for a secret; None: nobody can be asked.
        """
        self._username = username or ""
        self._password = password
        self._ask = ask
        self._wanted = threading.Event()

    @property
    def username(self) -> str:
        return self._username or getpass.getuser()

    def open(self, uri: str) -> libvirt.virConnect:
        """Connect; a host that asks for nothing is told nothing.

        Raises:
            libvirt.libvirtError: no connection.
        """
        self._wanted.clear()
        return libvirt.openAuth(uri, [[*NAMES, *SECRETS], self._answer, None], 0)

    def is_refusal(self, error: libvirt.libvirtError) -> bool:
        """Whether the host was asked for a connection and did not like who we are."""
        return self._wanted.is_set() or error.get_error_code() in REFUSALS

    def ask_user(self, uri: str) -> bool:
        """Ask the user for the password that was missing; false when it is known, or nobody answers. Takes as long as the user does."""
        if self._password is not None or self._ask is None or not self._wanted.is_set():
            return False
        self._password = self._ask(f"Password of '{self.username}' at '{uri}': ")
        return self._password is not None

    def _answer(self, questions: list[list[str | int | None]], _data: object) -> int:
        """Answer as libvirt wants it: 0, or -1 to give up. Nobody is asked in here: the connection has a time limit."""
        for question in questions:
            if question[0] in NAMES:
                question[_RESULT] = self.username
            elif self._password is not None:
                question[_RESULT] = self._password
            else:
                self._wanted.set()
                return -1
        return 0

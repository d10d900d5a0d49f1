"""Output formats of plugins: how the result of a verb becomes text."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from ..present.lago_formats import dump
from . import Plugin


class OutFormatPlugin(Plugin, ABC):
    """A format, named after `-f`."""

    @abstractmethod
    def format(self, info_dict: Any) -> str:
        """Return a result (mappings, lists, texts, numbers, booleans, None) as text."""


class DefaultOutFormatPlugin(OutFormatPlugin):
    """For people."""

    def format(self, info_dict: Any) -> str:
        return dump(info_dict, "default")


class JSONOutFormatPlugin(OutFormatPlugin):
    def format(self, info_dict: Any) -> str:
        return dump(info_dict, "json")


class YAMLOutFormatPlugin(OutFormatPlugin):
    def format(self, info_dict: Any) -> str:
        return dump(info_dict, "yaml")


class FlatOutFormatPlugin(OutFormatPlugin):
    """One `path/to/value: value` a line."""

    def format(self, info_dict: Any) -> str:
        return dump(info_dict, "flat")

"""An output format."""

from __future__ import annotations

import json
from typing import Any

from lagotui.plugins import OutFormatPlugin


class Shout(OutFormatPlugin):
    """JSON in capital letters."""

    def format(self, info_dict: Any) -> str:
        return json.dumps(info_dict, sort_keys=True).upper() + "\n"

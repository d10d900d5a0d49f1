"""The user's own keys: `keymap.yaml` in the config folder, action id → keys."""

from __future__ import annotations

from pathlib import Path

from .actions import ACTIONS


def load_keymap(path: Path) -> tuple[dict[str, str], list[str]]:
    """Read a keymap file; return the keys by action id, and one sentence for each thing in it that cannot be used."""
    import yaml

    if not path.is_file():
        return {}, []
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        return {}, [f"keymap '{path}' cannot be read: {' '.join(str(error).split())}"]
    if not isinstance(data, dict):
        return {}, [f"keymap '{path}' must be a mapping of actions to keys"]
    known = {action.id for action in ACTIONS}
    keymap: dict[str, str] = {}
    problems: list[str] = []
    for name, keys in data.items():
        if name not in known:
            problems.append(f"keymap '{path}': there is no action '{name}'")
        elif not isinstance(keys, str) or not keys.strip():
            problems.append(f"keymap '{path}': the keys of '{name}' must be a text like 's' or 'ctrl+s,f2'")
        else:
            keymap[name] = keys
    return keymap, problems

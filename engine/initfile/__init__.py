"""The init file: text → nodes → keys and types → checks → `EnvSpec`. Importing this package loads neither YAML reader nor validator."""

from .diagnostics import CODES, Diagnostic, Severity
from .load import DEFAULT_NAME, Loaded, load_init_file, require_spec

__all__ = ["CODES", "DEFAULT_NAME", "Diagnostic", "Loaded", "Severity", "load_init_file", "require_spec"]

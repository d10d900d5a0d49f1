"""The doors to the engine: terminal UI, headless verbs, Python SDK."""

__version__ = "0.1.0"
"""The only place where the version is written; pyproject.toml reads it from here."""

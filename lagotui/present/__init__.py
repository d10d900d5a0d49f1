"""State → text, cells and lines. Pure: no textual, no I/O."""

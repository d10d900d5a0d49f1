"""One screen a file. A screen draws the store and submits to the bridge; it never waits for work."""

"""Theme files: one YAML file a theme. Holds no code; the package makes them travel with an installation."""

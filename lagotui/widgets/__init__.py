"""Widgets: data in, messages up. They know no screen, no app of ours, no engine."""

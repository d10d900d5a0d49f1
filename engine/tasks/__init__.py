"""Plans in motion: order, limits, journal, roll back, recovery."""

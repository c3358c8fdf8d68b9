"""How good a network is, and how fast: measured, compared, reported."""

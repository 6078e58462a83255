"""Statistics as pure functions: numpy in, numpy out. Knows no pandas and no database."""

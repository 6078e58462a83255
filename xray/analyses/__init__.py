"""One question = one file: load (SQL), compute (stats), result rows, figure."""

"""Each analysis as a part of the report: findings in words, a figure with its caption, a table, text for a terminal."""

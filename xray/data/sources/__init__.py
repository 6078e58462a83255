"""A reader per native layout of a dataset."""

"""Decode, crop, resize, cache, augment, batch. Knows no label and no database."""

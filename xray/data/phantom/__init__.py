"""Drawn chest-like radiographs of sites whose differences are known."""

"""The two named protocols as data: `paper.toml` and `corrected.toml` (read by `xray.data.protocol`)."""

"""Every speed claim as a script that prints a ratio against a peer, measured in the same run."""

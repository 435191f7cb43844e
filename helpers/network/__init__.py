"""Pixels to features: the network as it is specified, exported, kept and run."""

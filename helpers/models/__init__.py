"""Fitted models as plain arrays: each is saved, loaded and applied without Spark."""

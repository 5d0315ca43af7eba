"""Kedro pipelines: one folder a stage, thin nodes over the plain packages."""

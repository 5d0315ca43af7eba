"""Figures and documents, made from tables and arrays."""

"""Migrations of the database of reviews."""

"""Recognise emotion in speech, with figures that hold for unknown speakers."""

__version__ = "0.2.0"

"""Speech emotion recognition for call centers, evaluated on unseen speakers."""

__version__ = "0.2.0"

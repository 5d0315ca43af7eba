"""Nodes of the download."""

import pandas as pd

from speech_emotion.corpora import DownloadSettings, download_corpora


def download(settings: DownloadSettings) -> pd.DataFrame:
    """Fetch the freely available corpora, and say how the others are obtained."""
    return download_corpora(settings)

"""Corpora: one reader a corpus, ingestion of all of them, the sample corpus, the download."""

from speech_emotion.corpora.base import Annotation, Corpus, UnknownName
from speech_emotion.corpora.download import DownloadError, DownloadSettings, download_corpora
from speech_emotion.corpora.labels import LabelSetError
from speech_emotion.corpora.sample import SampleSettings, sample_recordings, write_sample
from speech_emotion.corpora.scan import CORPORA, CorporaNotFound, CorporaSettings, ingest
from speech_emotion.corpora.schema import REJECTED, UTTERANCES

__all__ = [
    "CORPORA",
    "REJECTED",
    "UTTERANCES",
    "Annotation",
    "CorporaNotFound",
    "CorporaSettings",
    "Corpus",
    "DownloadError",
    "DownloadSettings",
    "LabelSetError",
    "SampleSettings",
    "UnknownName",
    "download_corpora",
    "ingest",
    "sample_recordings",
    "write_sample",
]

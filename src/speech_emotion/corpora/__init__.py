"""Corpora of emotional speech: readers, ingestion, labels, schemas, splits, sample corpus, download."""

from speech_emotion.corpora.download import (
    DownloadError,
    DownloadSettings,
    download_corpora,
)
from speech_emotion.corpora.entry import (
    CORPORA,
    UNKNOWN,
    Annotation,
    CorpusEntry,
    UnknownName,
)
from speech_emotion.corpora.ingestion import (
    SYNTHETIC_MARK,
    CorporaNotFound,
    CorporaSettings,
    ingest,
    is_marked_synthetic,
)
from speech_emotion.corpora.labels import (
    LabelSetError,
)
from speech_emotion.corpora.published import (
    PUBLISHED,
    FoldsError,
    read_folds,
)
from speech_emotion.corpora.sample import (
    SampleSettings,
    sample_recordings,
    write_sample,
)
from speech_emotion.corpora.schemas import (
    REJECTED,
    UTTERANCES,
)
from speech_emotion.corpora.speakers import has_speaker
from speech_emotion.corpora.splits import (
    ENROLLED,
    LEAKING,
    LEFT_OUT,
    PROTOCOLS,
    TEST,
    TRAIN,
    Protocol,
    SplitError,
    SplitSettings,
    assign_splits,
    in_split,
    split_digest,
)
from speech_emotion.corpora.summary import (
    summarize_corpora,
    what_is_split,
)
from speech_emotion.corpora.tables import (
    TableError,
)
from speech_emotion.corpora.voice import (
    Speaker,
    speak,
)

__all__ = [
    "CORPORA",
    "ENROLLED",
    "LEAKING",
    "LEFT_OUT",
    "PROTOCOLS",
    "PUBLISHED",
    "REJECTED",
    "SYNTHETIC_MARK",
    "TEST",
    "TRAIN",
    "UNKNOWN",
    "UTTERANCES",
    "Annotation",
    "CorporaNotFound",
    "CorporaSettings",
    "CorpusEntry",
    "DownloadError",
    "DownloadSettings",
    "FoldsError",
    "LabelSetError",
    "Protocol",
    "SampleSettings",
    "Speaker",
    "SplitError",
    "SplitSettings",
    "TableError",
    "UnknownName",
    "assign_splits",
    "download_corpora",
    "has_speaker",
    "in_split",
    "ingest",
    "is_marked_synthetic",
    "read_folds",
    "sample_recordings",
    "speak",
    "split_digest",
    "summarize_corpora",
    "what_is_split",
    "write_sample",
]

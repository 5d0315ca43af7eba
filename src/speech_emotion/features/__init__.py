"""Features of recordings: frames, prosody, functionals, random convolution kernels."""

from speech_emotion.features.embeddings import (
    EMBEDDING,
    EMBEDDING_STATISTICS,
    EMBEDDING_VERSION,
    ENCODER_FRAMES,
    Embedding,
    EmbeddingSettings,
    LayerSums,
    embed,
    embedding_names,
    sum_layers,
)
from speech_emotion.features.extraction import (
    embed_batch,
    extract_batch,
)
from speech_emotion.features.feature_sets import (
    DEFAULT_FEATURE_SET,
    FEATURE_SETS,
    FeatureSettings,
    SequenceSettings,
    UnknownFeatureSet,
    extract,
    extract_features,
    feature_names,
    sequence_names,
    sequence_shape,
)
from speech_emotion.features.frames import (
    frame_features,
)
from speech_emotion.features.groups import (
    KERNELS,
    feature_groups,
    mfcc_moments,
    mfcc_number,
)
from speech_emotion.features.prosody import (
    PROSODY,
    block_prosody,
    settle_prosody,
)
from speech_emotion.features.random_kernels import (
    KERNEL_PREFIX,
)
from speech_emotion.features.store import (
    EXTRACTION_VERSION,
    StoredFeatures,
    gather_embeddings,
    gather_features,
    index_embeddings,
    index_features,
    store_embeddings,
    store_features,
)

__all__ = [
    "DEFAULT_FEATURE_SET",
    "EMBEDDING",
    "EMBEDDING_STATISTICS",
    "EMBEDDING_VERSION",
    "ENCODER_FRAMES",
    "EXTRACTION_VERSION",
    "FEATURE_SETS",
    "KERNELS",
    "KERNEL_PREFIX",
    "PROSODY",
    "Embedding",
    "EmbeddingSettings",
    "FeatureSettings",
    "LayerSums",
    "SequenceSettings",
    "StoredFeatures",
    "UnknownFeatureSet",
    "block_prosody",
    "embed",
    "embed_batch",
    "embedding_names",
    "extract",
    "extract_batch",
    "extract_features",
    "feature_groups",
    "feature_names",
    "frame_features",
    "gather_embeddings",
    "gather_features",
    "index_embeddings",
    "index_features",
    "mfcc_moments",
    "mfcc_number",
    "sequence_names",
    "sequence_shape",
    "settle_prosody",
    "store_embeddings",
    "store_features",
    "sum_layers",
]

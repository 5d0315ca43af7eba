"""Custom Kedro datasets: corpora, sound, arrays, estimators, documents, registered models, MIDI.

kedro-mlflow creates every dataset of the catalog at the start of any run, so heavy libraries are
imported in ``load`` and ``save``.
"""

from speech_emotion.datasets.array import ArrayBlocks, ArrayDataset
from speech_emotion.datasets.artifact import ArtifactDataset
from speech_emotion.datasets.audio import AudioDataset, Sound
from speech_emotion.datasets.blocks import BlocksDataset, BlockwiseDataset, TableBlocks
from speech_emotion.datasets.cache import CacheDataset
from speech_emotion.datasets.corpora import CorporaDataset
from speech_emotion.datasets.document import DocumentDataset, ModelCardDataset
from speech_emotion.datasets.estimator import EncoderDataset, EstimatorDataset, PredictorDataset
from speech_emotion.datasets.files import FilesDataset
from speech_emotion.datasets.inputs import TEST_SET, TRAINING_SET, describe_inputs
from speech_emotion.datasets.midi import MidiDataset
from speech_emotion.datasets.model import ModelDataset, ModelVersionDataset
from speech_emotion.datasets.optional import OptionalDataset
from speech_emotion.datasets.raw_file import RawFileDataset
from speech_emotion.datasets.recordings import RecordingsDataset
from speech_emotion.datasets.registry import (
    NotRegistered,
    Registered,
    Registration,
    RegistryDataset,
)
from speech_emotion.datasets.run_info import RunInfoDataset
from speech_emotion.datasets.stored import (
    CSVDataset,
    JSONDataset,
    JSONLinesDataset,
    ParquetDataset,
    PartitionedDataset,
    TextDataset,
)

__all__ = [
    "TEST_SET",
    "TRAINING_SET",
    "ArrayBlocks",
    "ArrayDataset",
    "ArtifactDataset",
    "AudioDataset",
    "BlocksDataset",
    "BlockwiseDataset",
    "CSVDataset",
    "CacheDataset",
    "CorporaDataset",
    "DocumentDataset",
    "EncoderDataset",
    "EstimatorDataset",
    "FilesDataset",
    "JSONDataset",
    "JSONLinesDataset",
    "MidiDataset",
    "ModelCardDataset",
    "ModelDataset",
    "ModelVersionDataset",
    "NotRegistered",
    "OptionalDataset",
    "ParquetDataset",
    "PartitionedDataset",
    "PredictorDataset",
    "RawFileDataset",
    "RecordingsDataset",
    "Registered",
    "Registration",
    "RegistryDataset",
    "RunInfoDataset",
    "Sound",
    "TableBlocks",
    "TextDataset",
    "describe_inputs",
]

"""The predictor: fitted estimators with feature extraction, combination and calibration."""

from __future__ import annotations

import hashlib
import logging
import math
import shutil
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import pandas as pd
from pydantic import Field, ValidationError, model_validator
from sklearn.base import BaseEstimator

from speech_emotion.audio import AudioError, SoundLimits, load_audio, open_sound
from speech_emotion.config import Settings
from speech_emotion.encoders import SpeechEncoder
from speech_emotion.features import (
    Embedding,
    FeatureSettings,
    embed,
    embedding_names,
    extract,
)
from speech_emotion.models.calibration import PlattScaling, Threshold, with_temperature
from speech_emotion.models.ensembles import STACKING, Combiner
from speech_emotion.models.families import family_named
from speech_emotion.models.integrity import DamagedModel, check_files, write_checksums
from speech_emotion.models.persistence import load_estimator, save_estimator
from speech_emotion.models.training_keys import TrainingKeys
from speech_emotion.models.training_profile import TrainingProfile
from speech_emotion.models.voices import VoiceProjection
from speech_emotion.runtime import replacing_folder

__all__ = ["EmotionPredictor", "ExtractedFeatures", "Member", "NotFinite", "PackedPredictor"]

CARD = "predictor.json"
ENCODER = "encoder"
VOICES = "voices.npz"
NEUTRAL = "neutral"

logger = logging.getLogger(__name__)

TOO_LATE: Final = "not read: the time of the request is over; send fewer or shorter sounds"


class NotFinite(ArithmeticError):
    """A model gave a probability that is not a finite number."""


class PredictorCard(Settings):
    """What a predictor stores beside its estimators, within the ranges of a model that works.

    Attributes:
        labels: See :class:`EmotionPredictor`, like the others.
        combiner: Result of :meth:`Combiner.to_dict`.
        temperature: Positive and finite.
        features: Settings of feature extraction.
        scaling: Recalibration of one label; missing, like those below, in models of older versions.
        threshold: Decision threshold.
        synthetic: Whether training data includes synthetic speech.
        profile: What the training data are like.
    """

    labels: tuple[str, ...] = Field(min_length=2)
    combiner: dict[str, Any]
    temperature: float = Field(gt=0, allow_inf_nan=False)
    scaling: PlattScaling | None = None
    features: FeatureSettings
    threshold: Threshold | None = None
    synthetic: bool = False
    profile: TrainingProfile | None = None

    @model_validator(mode="after")
    def _consistent(self) -> PredictorCard:
        if len(set(self.labels)) < len(self.labels):
            raise ValueError(f"labels {', '.join(self.labels)} repeat one")
        for name, part in (("threshold", self.threshold), ("scaling", self.scaling)):
            if part is not None and part.target not in self.labels:
                raise ValueError(f"{name}.target {part.target!r} is not one of the labels")
        combiner = Combiner.from_dict(self.combiner)
        n = len(combiner.members)
        shape: tuple[int, ...] = (n,)
        if combiner.name == STACKING:
            shape = (len(self.labels), n * len(self.labels))
        if n == 0 or combiner.weights.shape != shape:
            raise ValueError(
                f"combiner.weights have the shape {combiner.weights.shape}, not {shape}"
            )
        if not (np.isfinite(combiner.weights).all() and np.isfinite(combiner.offsets).all()):
            raise ValueError("combiner.weights or offsets are not finite")
        return self


@dataclass(frozen=True)
class Member:
    """A fitted estimator of a predictor.

    Attributes:
        family: Name of its family, which selects its inputs.
        estimator: The fitted estimator; its classes are positions in the predictor's labels.
    """

    family: str
    estimator: BaseEstimator


class ExtractedFeatures(NamedTuple):
    """What is extracted from one utterance or window; ``None`` for what no member needs.

    Attributes:
        statistics: Named features.
        sequence: Frames, shape ``(n_frames, n_channels)``.
        embedding: Embedding, see :func:`speech_emotion.features.embed`.
    """

    statistics: pd.Series | None
    sequence: np.ndarray | None
    embedding: Embedding | None


class PredictedFiles(NamedTuple):
    """Predictions of files.

    Attributes:
        table: See :meth:`EmotionPredictor.predict_files`.
        transient: Whether another attempt may succeed where this one failed, shape ``(n_files,)``.
        seconds: Duration of each file, NaN if it was not read, shape ``(n_files,)``.
    """

    table: pd.DataFrame
    transient: np.ndarray
    seconds: np.ndarray


@dataclass(frozen=True)
class EmotionPredictor:
    """Predict emotion in recordings: combined and calibrated probabilities of fitted estimators.

    Attributes:
        labels: Labels in the order of the probabilities.
        features: Settings of feature extraction.
        members: The estimators, in the order of the combiner's members.
        combiner: Combination of their probabilities.
        temperature: Temperature that calibrates the combined probabilities.
        threshold: Decision threshold of the target label; ``None`` in models saved without one.
        encoder: Pretrained speech encoder of the members that need embeddings; ``None`` if none does.
        voices: Projection that tells speakers apart, for calls with both parties on one channel; ``None``
            without an encoder, and in models saved without one.
        synthetic: Whether training data includes synthetic speech; predictions for real speech are then
            meaningless.
        training_keys: Keys of the speakers and recordings that the members were trained on; ``None`` in
            models saved without them.
        digest: Digest of the files the predictor was loaded from; empty if it was not loaded.
        version: Name and version in the model registry; empty if it was not loaded from there.
        scaling: Recalibration of one label with verdicts of reviewers; ``None`` without verdicts.
        profile: What the training data are like; ``None`` in models saved without it.

    Examples:
        >>> from pathlib import Path
        >>> predictor = EmotionPredictor.load(Path("data/06_models/champion"))  # doctest: +SKIP
        >>> predictor.predict_files(["call.wav"])["emotion"]  # doctest: +SKIP
        0    angry
        Name: emotion, dtype: object
    """

    labels: tuple[str, ...]
    features: FeatureSettings
    members: tuple[Member, ...]
    combiner: Combiner
    temperature: float = 1.0
    threshold: Threshold | None = None
    encoder: SpeechEncoder | None = None
    voices: VoiceProjection | None = None
    synthetic: bool = False
    training_keys: TrainingKeys | None = None
    digest: str = ""
    version: str = ""
    scaling: PlattScaling | None = None
    profile: TrainingProfile | None = None

    @property
    def title(self) -> str:
        """Name and version for people: those of the registry, or what the model is and its digest."""
        return self.version or f"{self.name} {self.digest[:8]}".strip()

    @property
    def name(self) -> str:
        """``soft_voting``, ``stacking``, or the family of the only member."""
        return self.combiner.name

    @property
    def needs_features(self) -> bool:
        """Whether a member needs statistics or sequences of librosa features."""
        return any(not family_named(member.family).needs_encoder for member in self.members)

    @property
    def reference(self) -> np.ndarray | None:
        """Mean embedding of neutral speech in training; of all classes if none is neutral.

        ``None`` if no member uses statistics of embeddings.
        """
        for member in self.members:
            means = getattr(member.estimator, "class_means_", None)
            if means is not None:
                labels = [self.labels[code] for code in member.estimator.classes_]
                neutral = means[labels.index(NEUTRAL)] if NEUTRAL in labels else means.mean(axis=0)
                return np.asarray(neutral, dtype=np.float32)
        return None

    @property
    def training_ranges(self) -> dict[str, tuple[float, float, float]]:
        """5th, 50th and 95th percentile of measures in training, as far as they are known."""
        ranges = dict(self.profile.ranges) if self.profile else {}
        if self.voices is not None and np.isfinite(self.voices.novelties).all():
            ranges["novelty"] = self.voices.novelties
        return ranges

    def predict_proba(
        self,
        statistics: pd.DataFrame | None = None,
        sequences: np.ndarray | None = None,
        embeddings: np.ndarray | None = None,
        encoder_frames: np.ndarray | None = None,
    ) -> np.ndarray:
        """Return probabilities of utterances of unseen speakers, shape ``(n, n_labels)``.

        Args:
            statistics: Named features, one row per utterance; unused unless :attr:`needs_features`.
            sequences: Frame sequences, shape ``(n, n_frames, n_channels)``; likewise.
            embeddings: Statistics of :class:`speech_emotion.features.Embedding`, one row per utterance;
                unused without :attr:`encoder`.
            encoder_frames: Frames of :class:`speech_emotion.features.Embedding`; likewise.

        Raises:
            NotFinite: If a probability is NaN or infinite: no label may be derived from it.
        """
        table = None
        if embeddings is not None and self.encoder is not None:
            card = self.encoder.card
            names = embedding_names(card.slug, tuple(self.encoder.layers), card.width)
            table = pd.DataFrame(embeddings, columns=names)
        stacked = None
        for position, member in enumerate(self.members):
            inputs = family_named(member.family).select(
                statistics, sequences, table, encoder_frames
            )
            if stacked is None:
                stacked = np.zeros((len(inputs), len(self.members), len(self.labels)))
            stacked[:, position, member.estimator.classes_] = member.estimator.predict_proba(inputs)
        assert stacked is not None  # a combiner has members
        combined = with_temperature(self.combiner(stacked), self.temperature)
        if self.scaling is not None:
            combined = self.scaling.scale(combined, self.labels.index(self.scaling.target))
        if not (finite := np.isfinite(combined).all(axis=1)).all():
            raise NotFinite(
                f"The model {self.title!r} gave no finite probabilities for {(~finite).sum()} of "
                f"{len(finite)} sounds; train it again, or choose another model"
            )
        return combined

    def predict_extracted(self, rows: Sequence[ExtractedFeatures]) -> np.ndarray:
        """Return probabilities of utterances of unseen speakers, shape ``(n, n_labels)``.

        Args:
            rows: What was extracted from each utterance, at least one.
        """
        statistics, sequences, embeddings = zip(*rows, strict=True)
        return self.predict_proba(
            pd.DataFrame(list(statistics)) if self.needs_features else None,
            np.stack(sequences) if self.needs_features else None,
            np.stack([one.statistics for one in embeddings]) if self.encoder is not None else None,
            np.stack([one.frames for one in embeddings]) if self.encoder is not None else None,
        )

    def predict_files(
        self,
        entries: Sequence[object],
        *,
        paths: bool = True,
        below: Path | None = None,
        limits: SoundLimits | None = None,
    ) -> pd.DataFrame:
        """Predict the emotion of audio files.

        Args:
            entries: Paths, or audio files in base64, see :func:`speech_emotion.audio.open_sound`.
            paths: Whether paths are allowed.
            below: Folder that must contain the paths; ``None`` allows any.
            limits: Largest accepted recording; by default that of :class:`SoundLimits`.

        Returns:
            One row per file: ``emotion``, one probability column per label, and ``error``, the reason
            why a file has no prediction, else missing.
        """
        return self.predict_each(entries, paths=paths, below=below, limits=limits).table

    def predict_each(
        self,
        entries: Sequence[object],
        *,
        paths: bool = True,
        below: Path | None = None,
        limits: SoundLimits | None = None,
        until: float = math.inf,
    ) -> PredictedFiles:
        """Predict like :meth:`predict_files`, and tell which files may be predicted by another attempt.

        Args:
            entries: As there.
            paths: As there.
            below: As there.
            limits: As there.
            until: Time of :func:`time.monotonic` from which no further entry is begun.
        """
        usable: list[int] = []
        extracted: list[ExtractedFeatures] = []
        errors: list[str | None] = [None] * len(entries)
        transient = np.zeros(len(entries), dtype=bool)
        seconds = np.full(len(entries), np.nan)
        limits = limits or SoundLimits()
        for position, entry in enumerate(entries):
            try:
                if time.monotonic() > until:
                    raise AudioError(_shown(entry), TOO_LATE, transient=True)
                sound = open_sound(entry, paths=paths, below=below)
                features, seconds[position] = self._extract(sound, limits)
                extracted.append(features)
            except AudioError as error:
                # As the caller wrote it: the folder that paths are relative to may be nobody's business.
                name = error.source if below is None else _shown(entry)
                errors[position] = str(AudioError(name, error.reason))
                transient[position] = error.transient
                continue
            except Exception as error:  # one file never ends the others
                logger.exception("Reading an entry failed")
                errors[position] = f"{_shown(entry)}: reading it failed ({type(error).__name__})"
                transient[position] = True
                continue
            usable.append(position)
        table = pd.DataFrame(np.nan, index=range(len(entries)), columns=list(self.labels))
        table.insert(0, "emotion", pd.Series([None] * len(entries), dtype=object))
        table["error"] = pd.Series(errors, dtype=object)
        for position, row in zip(usable, self._predict_each_extracted(extracted), strict=True):
            if isinstance(row, str):
                table.loc[position, "error"] = f"{_shown(entries[position])}: {row}"
                transient[position] = True
                continue
            table.loc[position, list(self.labels)] = row
            table.loc[position, "emotion"] = self.labels[int(row.argmax())]
        return PredictedFiles(table, transient, seconds)

    def _predict_each_extracted(
        self, rows: Sequence[ExtractedFeatures]
    ) -> Sequence[np.ndarray | str]:
        """Return probabilities of each row, or why there are none: one row never ends the others."""
        if not rows:
            return []
        try:
            return list(self.predict_extracted(rows))
        except Exception as error:
            if len(rows) > 1:
                return [self._predict_each_extracted([row])[0] for row in rows]
            logger.exception("Predicting an entry failed")
            known = isinstance(error, NotFinite)
            return [str(error) if known else f"predicting it failed ({type(error).__name__})"]

    def _extract(self, sound: Any, limits: SoundLimits) -> tuple[ExtractedFeatures, float]:
        """Return what the members need, at their sample rates, and the duration in seconds."""
        statistics = sequence = embedding = None
        seconds = float("nan")
        if self.needs_features:
            samples = load_audio(sound, self.features.sample_rate, limits=limits)
            seconds = len(samples) / self.features.sample_rate
            statistics, sequence = extract(
                samples, self.features.sample_rate, settings=self.features
            )
        if self.encoder is not None:
            samples = load_audio(sound, self.encoder.card.sample_rate, limits=limits)
            seconds = len(samples) / self.encoder.card.sample_rate
            embedding = embed(samples, self.encoder)
        return ExtractedFeatures(statistics, sequence, embedding), seconds

    def save(self, folder: Path) -> None:
        """Save the predictor in ``folder``, replacing its contents."""
        card = PredictorCard(
            labels=self.labels,
            combiner=self.combiner.to_dict(),
            temperature=self.temperature,
            scaling=self.scaling,
            features=self.features,
            threshold=self.threshold,
            synthetic=self.synthetic,
            profile=self.profile,
        )
        with replacing_folder(folder) as partial:
            partial.mkdir()
            for member in self.members:
                save_estimator(member.estimator, partial / member.family)
            if self.encoder is not None:
                self.encoder.save(partial / ENCODER)
            if self.training_keys is not None:
                self.training_keys.save(partial)
            if self.voices is not None:
                self.voices.save(partial / VOICES)
            (partial / CARD).write_text(card.model_dump_json(indent=1))
            write_checksums(partial)

    @classmethod
    def load(cls, folder: Path) -> EmotionPredictor:
        """Load a predictor that :meth:`save` saved.

        Raises:
            FileNotFoundError: If ``folder`` contains no predictor.
            DamagedModel: If its files are not those that were saved, or have impossible values.
        """
        folder = Path(folder)
        if not (folder / CARD).exists():
            raise FileNotFoundError(f"{folder} holds no predictor: {CARD} is missing")
        check_files(folder)
        try:
            card = PredictorCard.model_validate_json((folder / CARD).read_text())
        except ValidationError as error:
            problems = [
                f"{'.'.join(map(str, entry['loc'])) or 'file'}: {entry['msg']}"
                for entry in error.errors()
            ]
            raise DamagedModel(folder / CARD, f"is not valid ({'; '.join(problems)})") from error
        combiner = Combiner.from_dict(card.combiner)
        return cls(
            labels=card.labels,
            features=card.features,
            members=tuple(
                Member(family, load_estimator(folder / family)) for family in combiner.members
            ),
            combiner=combiner,
            temperature=card.temperature,
            scaling=card.scaling,
            threshold=card.threshold,
            encoder=SpeechEncoder.load(folder / ENCODER) if (folder / ENCODER).exists() else None,
            voices=VoiceProjection.load(folder / VOICES) if (folder / VOICES).exists() else None,
            synthetic=card.synthetic,
            profile=card.profile,
            training_keys=TrainingKeys.load(folder),
            digest=_digest(folder),
        )


@dataclass(frozen=True)
class PackedPredictor:
    """A predictor for transfer to other processes, without pickle.

    Attributes:
        digest: Digest of the content.
        content: Bytes of a ZIP archive of the saved predictor, shape ``(n_bytes,)``; joblib shares
            large arrays between processes without copying.
    """

    digest: str
    content: np.ndarray

    @classmethod
    def pack(cls, predictor: EmotionPredictor) -> PackedPredictor:
        """Save a predictor into memory; the one that was packed last is not saved again."""
        if _packed and _packed[0][0] is predictor:
            return _packed[0][1]
        with tempfile.TemporaryDirectory() as folder:
            predictor.save(Path(folder) / "predictor")
            archive = Path(
                shutil.make_archive(f"{folder}/packed", "zip", Path(folder) / "predictor")
            )
            content = archive.read_bytes()
        packed = cls(hashlib.sha256(content).hexdigest(), np.frombuffer(content, dtype=np.uint8))
        _packed[:] = [(predictor, packed)]
        return packed

    def unpacked(self) -> EmotionPredictor:
        """Load the predictor; a process loads the same one only once."""
        if self.digest not in _unpacked:
            with tempfile.TemporaryDirectory() as folder:
                archive = Path(folder) / "packed.zip"
                archive.write_bytes(self.content.tobytes())
                shutil.unpack_archive(archive, Path(folder) / "predictor")
                predictor = EmotionPredictor.load(Path(folder) / "predictor")
            _unpacked.clear()
            _unpacked[self.digest] = predictor
        return _unpacked[self.digest]


def _shown(entry: object) -> str:
    """Return an entry as an error message shows it."""
    text = str(entry)
    return text if len(text) <= 200 else f"{text[:12]}… ({len(text)} characters)"


_unpacked: dict[str, EmotionPredictor] = {}
_packed: list[tuple[EmotionPredictor, PackedPredictor]] = []
"""The last one: archives of the same predictor differ, so the steps of a run share one digest."""


def _digest(folder: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            digest.update(path.relative_to(folder).as_posix().encode() + path.read_bytes())
    return digest.hexdigest()

"""Base class and helpers of networks: set-up, standardization, batches with mixup and masks, stopping."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, ClassVar, Final

import numpy as np
from numpy.typing import ArrayLike, DTypeLike
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.preprocessing import LabelEncoder
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

__all__ = [
    "NetworkClassifier",
    "build_training_state",
    "import_keras",
    "outputs",
    "standardization",
    "stop_callbacks",
    "training_batches",
]

BLOCK: Final = 512
"""Utterances per call of a network."""


def import_keras() -> Any:
    """Import Keras, configured to be deterministic and quiet."""
    # TensorFlow logs its build at import and its graphs at every fit; errors are raised in any case.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import keras
    import tensorflow

    # Sums over threads differ in their last digits between runs and machines. Several cores are used
    # by several processes instead.
    tensorflow.config.experimental.enable_op_determinism()
    with suppress(RuntimeError):  # TensorFlow is already initialized
        tensorflow.config.threading.set_intra_op_parallelism_threads(1)
        tensorflow.config.threading.set_inter_op_parallelism_threads(1)
    # Silences the retracing warning: every fit traces a new network.
    tensorflow.get_logger().setLevel("ERROR")
    return keras


def outputs(network: Any, X: np.ndarray) -> np.ndarray:
    """Return the outputs of ``network`` for ``X``, computed in blocks and without dropout."""
    # Calling the network is faster than `predict`, which compiles a graph first.
    starts = range(0, len(X), BLOCK)
    return np.concatenate([network(X[at : at + BLOCK], training=False) for at in starts])


def build_training_state(network: Any, X: np.ndarray, targets: np.ndarray) -> None:
    """Create the variables of optimizer and metrics before ``fit``, which would else trace its step twice.

    Args:
        network: A compiled network.
        X: At least one of its inputs.
        targets: One-hot labels, shape ``(n, n_labels)``.
    """
    network.optimizer.build(network.trainable_variables)
    network.compute_metrics(X[:1], targets[:1], network(X[:1], training=False))
    network.reset_metrics()


def standardization(shape: tuple[int, ...], mean: np.ndarray, variance: np.ndarray) -> Any:
    """Make a network that standardizes frames and keeps padding, which is all zero, at zero.

    Args:
        shape: ``(n_frames, n_channels)``.
        mean: Of each channel, or of each value: shape ``(n_channels,)`` or ``shape``.
        variance: Likewise.
    """
    keras = import_keras()
    inputs = keras.Input(shape)
    frames = keras.ops.cast(inputs, "float32")
    # Multiplying by the mask keeps padding at zero after scaling.
    is_frame = keras.ops.any(keras.ops.not_equal(frames, 0.0), axis=-1, keepdims=True)
    scaled = keras.layers.Normalization(
        axis=-1 if mean.ndim == 1 else (1, 2), mean=mean, variance=np.maximum(variance, 1e-8)
    )(frames)
    return keras.Model(inputs, scaled * keras.ops.cast(is_frame, "float32"))


class NetworkClassifier(ClassifierMixin, BaseEstimator, ABC):
    """What networks share: checks of the data, and predictions. ``fit`` sets ``network_``."""

    DTYPES: ClassVar[tuple[DTypeLike, ...]] = (np.float32,)
    """Accepted without conversion."""

    @staticmethod
    @abstractmethod
    def _as_frames(X: ArrayLike) -> np.ndarray:
        """Return an array ``(n, n_frames, n_channels)`` for frames, or for a table."""

    def _checked(self, X: ArrayLike, y: ArrayLike) -> tuple[np.ndarray, np.ndarray, LabelEncoder]:
        """Return frames, labels and their encoder, and set ``classes_``.

        Raises:
            ValueError: If there is only one class.
        """
        X, y = validate_data(self, X, y, dtype=list(self.DTYPES), allow_nd=True)
        check_classification_targets(y)
        encoder = LabelEncoder().fit(y)
        self.classes_ = encoder.classes_
        if len(self.classes_) < 2:
            raise ValueError(f"y has only one class, {self.classes_[0]!r}; at least two are needed")
        return self._as_frames(X), np.asarray(y), encoder

    def predict_proba(self, X: np.ndarray) -> np.ndarray:
        """Return probabilities, shape ``(n, n_classes)``, columns as in ``classes_``."""
        check_is_fitted(self)
        X = validate_data(self, X, dtype=list(self.DTYPES), allow_nd=True, reset=False)
        # float32 probabilities do not sum to 1 exactly.
        probabilities = outputs(self.network_, self._as_frames(X)).astype(np.float64)
        return probabilities / probabilities.sum(axis=1, keepdims=True)

    def predict(self, X: np.ndarray) -> np.ndarray:
        """Return the most probable class of each utterance, shape ``(n,)``."""
        best = self.predict_proba(X).argmax(axis=1)
        return self.classes_[best]


def training_batches(
    X: np.ndarray,
    targets: np.ndarray,
    *,
    batch_size: int,
    mixup: float = 0.0,
    time_mask: float = 0.0,
    channel_mask: float = 0.0,
    seed: int = 0,
) -> Any:
    """Make a dataset that is shuffled and augmented anew in every epoch.

    Mixup blends an utterance and its target with another one of the batch (H. Zhang et al., *mixup:
    Beyond empirical risk minimization*, 2018). A mask sets neighboring frames or channels of an
    utterance to zero; its width is uniform up to the given share (D. S. Park et al., *SpecAugment*, 2019).

    Args:
        X: Standardized sequences, shape ``(n, n_frames, n_channels)``.
        targets: One-hot labels, shape ``(n, n_labels)``.
        batch_size: Utterances per batch.
        mixup: Both parameters of the beta distribution of mixup; 0 disables it.
        time_mask: Largest share of masked frames; 0 disables it.
        channel_mask: Largest share of masked channels; 0 disables it.
        seed: Seed of order, mixup and masks.

    Returns:
        ``tf.data.Dataset`` of sequences and targets.
    """
    keras = import_keras()
    from tensorflow.data import Dataset

    # MixUp expects images, so sequences get a color axis for the time being.
    data = Dataset.from_tensor_slices({"images": X[..., np.newaxis], "labels": targets})
    data = data.shuffle(len(X), seed=seed).batch(batch_size)
    if mixup:
        data = data.map(keras.layers.MixUp(mixup, seed=seed))
    draws = keras.random.SeedGenerator(seed)
    n_frames, n_channels = X.shape[1:]

    def visible(batch: Any, length: int, share: float) -> Any:
        """Return 0 where masked, else 1, shape ``(n, length)``."""
        shape = (keras.ops.shape(batch)[0], 1)
        width = keras.random.uniform(shape, maxval=share * length, seed=draws)
        start = keras.random.uniform(shape, seed=draws) * (length - width)
        at = keras.ops.arange(length, dtype="float32")
        return keras.ops.cast((at < start) | (at >= start + width), "float32")

    def masked(batch: Mapping[str, Any]) -> tuple[Any, Any]:
        sequences = batch["images"][..., 0]
        if time_mask:
            sequences *= visible(sequences, n_frames, time_mask)[:, :, None]
        if channel_mask:
            sequences *= visible(sequences, n_channels, channel_mask)[:, None]
        return sequences, batch["labels"]

    return data.map(masked).prefetch(1)


def stop_callbacks(X: np.ndarray, targets: np.ndarray, *, patience: int) -> list[Any]:
    """Make callbacks for early stopping on the loss of ``X``, which restore the best weights.

    Keras' own validation data is left to the data whose loss is only recorded.

    Args:
        X: Standardized sequences of speakers outside the training data.
        targets: One-hot labels, shape ``(n, n_labels)``.
        patience: Epochs without a smaller loss before training stops.
    """
    keras = import_keras()

    def record(epoch: int, logs: dict[str, float]) -> None:
        losses = keras.losses.categorical_crossentropy(targets, outputs(recorder.model, X))
        logs["stop_loss"] = float(keras.ops.mean(losses))

    recorder = keras.callbacks.LambdaCallback(on_epoch_end=record)
    stop = keras.callbacks.EarlyStopping(
        "stop_loss", patience=patience, mode="min", restore_best_weights=True
    )
    return [recorder, stop]

"""Keras helpers: deterministic set-up, batches with mixup and masks, early stopping."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

import numpy as np

__all__ = ["import_keras", "outputs", "stop_callbacks", "training_batches"]

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

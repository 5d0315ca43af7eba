"""What Keras is trained with: batches that are mixed and masked, and an end at the right time."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

import numpy as np

__all__ = ["import_keras", "outputs", "stop_callbacks", "training_batches"]

BLOCK: Final = 512


def import_keras() -> Any:
    """Import Keras late and quietly, set to give the same result in every run."""
    # TensorFlow reports its build at every import and its graphs at every fit unless told not to;
    # what goes wrong is raised in any case.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import keras
    import tensorflow

    # Sums over threads would otherwise differ in their last digits from run to run, and from machine
    # to machine; what uses several cores is several processes.
    tensorflow.config.experimental.enable_op_determinism()
    with suppress(RuntimeError):  # a program that has used TensorFlow before keeps its threads
        tensorflow.config.threading.set_intra_op_parallelism_threads(1)
        tensorflow.config.threading.set_inter_op_parallelism_threads(1)
    # Every fit traces a network of its own, which is taken for a mistake.
    tensorflow.get_logger().setLevel("ERROR")
    return keras


def outputs(network: Any, X: np.ndarray) -> np.ndarray:
    """Call ``network`` on ``X`` in blocks, as in use: without dropout."""
    # Called directly: `predict` compiles a graph first, and that costs more.
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
    """Give batches in a new order every epoch, with mixup and masks drawn anew.

    Mixup blends an utterance and its target with another of the batch (H. Zhang et al., *mixup:
    Beyond empirical risk minimization*, 2018). A mask sets neighbouring frames or channels of an
    utterance to zero, as many as a uniform draw says (D. S. Park et al., *SpecAugment*, 2019).

    Args:
        X: Standardised sequences, shape ``(n, n_frames, n_channels)``.
        targets: Ones and zeros, shape ``(n, n_labels)``.
        batch_size: Utterances a batch.
        mixup: Both parameters of the beta distribution of the blend; 0 for none.
        time_mask: Largest share of the frames in a mask; 0 for none.
        channel_mask: Largest share of the channels in a mask; 0 for none.
        seed: Seed of order, blends and masks.

    Returns:
        ``tf.data.Dataset`` of sequences and targets.
    """
    keras = import_keras()
    from tensorflow.data import Dataset

    # Keras mixes pictures: sequences are given one colour for as long.
    data = Dataset.from_tensor_slices({"images": X[..., np.newaxis], "labels": targets})
    data = data.shuffle(len(X), seed=seed).batch(batch_size)
    if mixup:
        data = data.map(keras.layers.MixUp(mixup, seed=seed))
    draws = keras.random.SeedGenerator(seed)
    n_frames, n_channels = X.shape[1:]

    def seen(batch: Any, length: int, share: float) -> Any:
        """Ones, and zeros where the mask is, shape ``(n, length)``."""
        shape = (keras.ops.shape(batch)[0], 1)
        width = keras.random.uniform(shape, maxval=share * length, seed=draws)
        start = keras.random.uniform(shape, seed=draws) * (length - width)
        at = keras.ops.arange(length, dtype="float32")
        return keras.ops.cast((at < start) | (at >= start + width), "float32")

    def masked(batch: Mapping[str, Any]) -> tuple[Any, Any]:
        sequences = batch["images"][..., 0]
        if time_mask:
            sequences *= seen(sequences, n_frames, time_mask)[:, :, None]
        if channel_mask:
            sequences *= seen(sequences, n_channels, channel_mask)[:, None]
        return sequences, batch["labels"]

    return data.map(masked).prefetch(1)


def stop_callbacks(X: np.ndarray, targets: np.ndarray, *, patience: int) -> list[Any]:
    """End training when the loss on ``X`` falls no more, and go back to the best weights.

    What Keras itself is given to validate with stays free for data that is only watched.

    Args:
        X: Standardised sequences of speakers who are not learnt from.
        targets: Ones and zeros, shape ``(n, n_labels)``.
        patience: Epochs without a smaller loss.
    """
    keras = import_keras()

    def measure(epoch: int, logs: dict[str, float]) -> None:
        losses = keras.losses.categorical_crossentropy(targets, outputs(watch.model, X))
        logs["stop_loss"] = float(keras.ops.mean(losses))

    watch = keras.callbacks.LambdaCallback(on_epoch_end=measure)
    stop = keras.callbacks.EarlyStopping(
        "stop_loss", patience=patience, mode="min", restore_best_weights=True
    )
    return [watch, stop]

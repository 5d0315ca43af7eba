"""A Keras convolutional network over frames, behind the scikit-learn estimator interface."""

from __future__ import annotations

import os
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.preprocessing import LabelEncoder
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, check_random_state, validate_data

__all__ = ["Conv1DClassifier", "import_keras"]

BLOCK = 512


class Conv1DClassifier(ClassifierMixin, BaseEstimator):
    """Stacked 1-D convolutions over time with average and maximum pooling.

    Channels are standardised with the training frames' statistics; frames that are all zero are
    padding, and stay zero. Two-dimensional input is a table of features, each standardised for itself
    and convolved in the order of the columns. TensorFlow is imported when a network is built, not before.

    Args:
        filters: Filters of the first block; each further block has half as many more.
        blocks: Number of blocks (convolution, batch normalisation, ReLU, pooling by 2).
        kernel_size: Frames a convolution sees.
        dropout: Share of units dropped after each block and before the output.
        learning_rate: Peak step size of Adam, lowered to zero along a cosine.
        epochs: Passes over the training utterances.
        batch_size: Utterances a step.
        random_state: Seed of weights, order and dropout.

    Attributes:
        classes_: Labels, shape ``(n_classes,)``.
        network_: The fitted ``keras.Model``; its output is probabilities.
        history_: List of one dict an epoch: ``loss``, ``accuracy`` and, with validation data,
            ``val_loss``, ``val_accuracy``.
    """

    def __init__(
        self,
        filters: int = 64,
        blocks: int = 3,
        kernel_size: int = 5,
        dropout: float = 0.3,
        learning_rate: float = 2e-3,
        epochs: int = 30,
        batch_size: int = 64,
        random_state: int | np.random.RandomState | None = None,
    ):
        self.filters = filters
        self.blocks = blocks
        self.kernel_size = kernel_size
        self.dropout = dropout
        self.learning_rate = learning_rate
        self.epochs = epochs
        self.batch_size = batch_size
        self.random_state = random_state

    def fit(
        self,
        X: np.ndarray,
        y: np.ndarray,
        *,
        validation: tuple[np.ndarray, np.ndarray] | None = None,
    ) -> Self:
        """Train on ``X`` of shape ``(n, n_frames, n_channels)``, or ``(n, n_frames)``.

        Args:
            X: Frame sequences; two-dimensional input is taken as one channel.
            y: Labels, shape ``(n,)``.
            validation: Sequences and labels to watch, never to learn from or stop by.
        """
        keras = import_keras()
        X, y = validate_data(self, X, y, dtype=np.float32, allow_nd=True, ensure_min_features=1)
        check_classification_targets(y)
        encoder = LabelEncoder().fit(y)
        self.classes_ = encoder.classes_
        if len(self.classes_) < 2:
            raise ValueError(f"Only one class, {self.classes_[0]!r}: at least two are needed")
        X = _as_sequences(X)
        seed = check_random_state(self.random_state).randint(2**31)
        keras.utils.set_random_seed(seed)
        self.network_ = self._network(X)
        steps = self.epochs * -(-len(X) // self.batch_size)
        self.network_.compile(
            optimizer=keras.optimizers.Adam(
                keras.optimizers.schedules.CosineDecay(self.learning_rate, steps)
            ),
            loss="sparse_categorical_crossentropy",
            metrics=["accuracy"],
        )
        watched = None
        if validation is not None:
            watched = (_as_sequences(validation[0]), encoder.transform(validation[1]))
        fitted = self.network_.fit(
            X,
            encoder.transform(y),
            validation_data=watched,
            epochs=self.epochs,
            batch_size=self.batch_size,
            verbose=0,
        )
        curves = fitted.history
        self.history_ = [
            {name: float(values[epoch]) for name, values in curves.items()}
            for epoch in range(self.epochs)
        ]
        return self

    def _network(self, X: np.ndarray) -> Any:
        keras = import_keras()
        layers = keras.layers
        mean, variance = self._statistics(X)
        inputs = keras.Input(X.shape[1:])
        # A frame counts if any channel is set; multiplying keeps padding at zero after scaling.
        heard = keras.ops.any(keras.ops.not_equal(inputs, 0.0), axis=-1, keepdims=True)
        scaled = layers.Normalization(
            axis=-1 if mean.ndim == 1 else (1, 2), mean=mean, variance=np.maximum(variance, 1e-8)
        )(inputs)
        x = self._layers(scaled * keras.ops.cast(heard, "float32"))
        x = layers.Dropout(self.dropout)(x)
        return keras.Model(inputs, layers.Dense(len(self.classes_), activation="softmax")(x))

    def _statistics(self, X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean and variance of each channel; of each feature where there is one channel."""
        if X.shape[2] == 1:
            return X.mean(axis=0, dtype=np.float64), X.var(axis=0, dtype=np.float64)
        frames = X[np.any(X != 0, axis=2)]
        return frames.mean(axis=0, dtype=np.float64), frames.var(axis=0, dtype=np.float64)

    def _layers(self, x: Any) -> Any:
        layers = import_keras().layers
        is_table = x.shape[-1] == 1
        for block in range(self.blocks):
            filters = self.filters + block * self.filters // 2
            x = layers.Conv1D(filters, self.kernel_size, padding="same", use_bias=False)(x)
            x = layers.BatchNormalization()(x)
            x = layers.ReLU()(x)
            x = layers.MaxPooling1D(2, padding="same")(x)
            x = layers.Dropout(self.dropout)(x)
        if is_table:  # which feature it is matters
            return layers.Flatten()(x)
        pooled = [layers.GlobalAveragePooling1D()(x), layers.GlobalMaxPooling1D()(x)]
        return layers.Concatenate()(pooled)

    def predict_proba(self, X: np.ndarray) -> np.ndarray:
        """Return probabilities, shape ``(n, n_classes)``, columns as in ``classes_``."""
        check_is_fitted(self)
        X = validate_data(self, X, dtype=np.float32, allow_nd=True, reset=False)
        sequences = _as_sequences(X)
        # Called directly: `network_.predict` compiles a graph first, and that costs more.
        blocks = [
            self.network_(sequences[start : start + BLOCK], training=False)
            for start in range(0, len(sequences), BLOCK)
        ]
        # Rounding to float32 leaves sums a little off 1.
        probabilities = np.concatenate(blocks).astype(np.float64)
        return probabilities / probabilities.sum(axis=1, keepdims=True)

    def predict(self, X: np.ndarray) -> np.ndarray:
        """Return the most probable class of each utterance, shape ``(n,)``."""
        probabilities = self.predict_proba(X)
        return self.classes_[probabilities.argmax(axis=1)]


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
    tensorflow.config.threading.set_intra_op_parallelism_threads(1)
    tensorflow.config.threading.set_inter_op_parallelism_threads(1)
    return keras


def _as_sequences(X: ArrayLike) -> np.ndarray:
    X = np.asarray(X, dtype=np.float32)
    return X[:, :, np.newaxis] if X.ndim == 2 else X

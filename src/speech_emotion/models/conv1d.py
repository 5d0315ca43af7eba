"""A Keras convolutional network over frame sequences as a scikit-learn estimator."""

from __future__ import annotations

from typing import Any, ClassVar, Final, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.model_selection import GroupShuffleSplit
from sklearn.utils.validation import check_random_state

from speech_emotion.models.keras_training import (
    NetworkClassifier,
    build_training_state,
    import_keras,
    outputs,
    standardization,
    stop_callbacks,
    training_batches,
)

__all__ = ["Conv1DClassifier"]

STOP_SHARE: Final = 0.15
"""Share of the training speakers that early stopping sets aside."""


class Conv1DClassifier(NetworkClassifier):
    """A Keras network of 1-D convolutions over time, with mean and max pooling.

    Channels are standardized with the statistics of the training frames; all-zero frames are padding and
    stay zero. A two-dimensional input is a table: each feature is standardized and convolutions run over
    the columns. TensorFlow is imported by ``fit``.

    ``fit`` requests ``groups`` and ``validation`` by scikit-learn's metadata routing.

    Args:
        filters: Filters of the first block; each further block has half as many more.
        blocks: Number of blocks (convolution, batch normalization, ReLU, max pooling by 2, dropout).
        kernel_size: Width of a convolution, in frames.
        dropout: Dropout rate after each block and before the output layer.
        learning_rate: Initial learning rate of Adam, with cosine decay to zero.
        epochs: Passes over the training utterances.
        batch_size: Utterances per gradient step.
        flatten: Whether the output layer reads all positions in time instead of pooled ones.
        attention: Whether an attention-weighted mean is appended to the mean and maximum over frames.
        label_smoothing: Share of the target that is spread evenly over all labels.
        mixup: Both parameters of the beta distribution of mixup (H. Zhang et al., *mixup: Beyond
            empirical risk minimization*, 2018); 0 disables it.
        time_mask: Largest share of the frames that is masked in a step (D. S. Park et al.,
            *SpecAugment*, 2019), drawn for every utterance; 0 disables it.
        channel_mask: Largest share of neighboring channels, such as mel bands, that is masked.
        patience: Epochs without a smaller loss on set-aside training speakers before training stops and
            the best weights are restored; ``None`` trains on all speakers for all epochs.
        random_state: Seed of weights, order, dropout, mixup, masks and the set-aside speakers.

    Attributes:
        classes_: Labels, shape ``(n_classes,)``.
        network_: The fitted ``keras.Model``; its outputs are probabilities.
        history_: One dict per epoch: ``loss`` and ``accuracy``; with validation data ``val_loss`` and
            ``val_accuracy``; with patience ``stop_loss``.
    """

    __metadata_request__fit: ClassVar[dict[str, bool]] = {"groups": True, "validation": True}

    def __init__(
        self,
        filters: int = 64,
        blocks: int = 3,
        kernel_size: int = 5,
        dropout: float = 0.3,
        learning_rate: float = 2e-3,
        epochs: int = 30,
        batch_size: int = 64,
        flatten: bool = False,
        attention: bool = False,
        label_smoothing: float = 0.0,
        mixup: float = 0.0,
        time_mask: float = 0.0,
        channel_mask: float = 0.0,
        patience: int | None = None,
        random_state: int | np.random.RandomState | None = None,
    ):
        self.filters = filters
        self.blocks = blocks
        self.kernel_size = kernel_size
        self.dropout = dropout
        self.learning_rate = learning_rate
        self.epochs = epochs
        self.batch_size = batch_size
        self.flatten = flatten
        self.attention = attention
        self.label_smoothing = label_smoothing
        self.mixup = mixup
        self.time_mask = time_mask
        self.channel_mask = channel_mask
        self.patience = patience
        self.random_state = random_state

    def fit(
        self,
        X: np.ndarray,
        y: np.ndarray,
        *,
        validation: tuple[np.ndarray, np.ndarray] | None = None,
        groups: np.ndarray | None = None,
    ) -> Self:
        """Train the network.

        Args:
            X: Frame sequences, shape ``(n, n_frames, n_channels)``, or a table, shape
                ``(n, n_features)``.
            y: Labels, shape ``(n,)``.
            validation: Sequences and labels whose loss is recorded after each epoch; they affect
                neither training nor early stopping.
            groups: Speaker of each sequence, shape ``(n,)``; required by ``patience``.

        Raises:
            ValueError: If there is only one class, or ``patience`` without ``groups`` of two speakers.
        """
        keras = import_keras()
        X, y, encoder = self._checked(X, y)
        if self.patience is not None and (groups is None or len(np.unique(groups)) < 2):
            raise ValueError(
                "patience needs groups of at least two speakers, because early stopping sets some aside: "
                "pass groups, or set patience to None"
            )
        seed = check_random_state(self.random_state).randint(2**31)
        keras.utils.set_random_seed(seed)
        train = stop = np.arange(len(X))
        if self.patience is not None:
            split = GroupShuffleSplit(1, test_size=STOP_SHARE, random_state=seed)
            train, stop = next(split.split(X, y, groups))
        scaling = standardization(X.shape[1:], *self._statistics(X[train]))

        def prepare(X: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            targets = keras.utils.to_categorical(encoder.transform(y), len(self.classes_))
            return outputs(scaling, self._as_frames(X)), targets

        training = prepare(X[train], y[train])
        callbacks = []
        if self.patience is not None:
            callbacks = stop_callbacks(*prepare(X[stop], y[stop]), patience=self.patience)
        body = self._body(X.shape[1:])
        steps = self.epochs * -(-len(train) // self.batch_size)
        body.compile(
            optimizer=keras.optimizers.Adam(
                keras.optimizers.schedules.CosineDecay(self.learning_rate, steps)
            ),
            loss=keras.losses.CategoricalCrossentropy(label_smoothing=self.label_smoothing),
            metrics=["accuracy"],
        )
        build_training_state(body, *training)
        fitted = body.fit(
            training_batches(
                *training,
                batch_size=self.batch_size,
                mixup=self.mixup,
                time_mask=self.time_mask,
                channel_mask=self.channel_mask,
                seed=seed,
            ),
            validation_data=None if validation is None else prepare(*validation),
            epochs=self.epochs,
            callbacks=callbacks,
            shuffle=False,  # training_batches shuffles
            verbose=0,
        )
        self.network_ = keras.Model(scaling.input, body(scaling.output))
        curves = fitted.history
        self.history_ = [
            dict(zip(curves, map(float, values), strict=True))
            for values in zip(*curves.values(), strict=True)
        ]
        return self

    @staticmethod
    def _as_frames(X: ArrayLike) -> np.ndarray:
        X = np.asarray(X, dtype=np.float32)
        return X[:, :, np.newaxis] if X.ndim == 2 else X

    def _body(self, shape: tuple[int, int]) -> Any:
        keras = import_keras()
        inputs = keras.Input(shape)
        x = keras.layers.Dropout(self.dropout)(self._layers(inputs))
        probabilities = keras.layers.Dense(len(self.classes_), activation="softmax")(x)
        return keras.Model(inputs, probabilities)

    def _statistics(self, X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return mean and variance of each channel; of each feature of a table."""
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
        if is_table:  # columns are features, not points in time
            return layers.Flatten()(x)
        return self._pooled(x)

    def _pooled(self, x: Any) -> Any:
        """Summarise frames, shape ``(batch, n_frames, filters)``."""
        layers = import_keras().layers
        if self.flatten:
            return layers.Flatten()(x)
        pooled = [layers.GlobalAveragePooling1D()(x), layers.GlobalMaxPooling1D()(x)]
        if self.attention:
            weights = layers.Softmax(axis=1)(layers.Dense(1)(x))
            pooled.append(layers.Flatten()(layers.Dot(axes=1)([weights, x])))
        return layers.Concatenate()(pooled)

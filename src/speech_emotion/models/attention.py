"""A Keras network with attention over the frames of a speech encoder, as a scikit-learn estimator."""

from __future__ import annotations

from typing import Any, ClassVar, Final, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.validation import check_random_state

from speech_emotion.models.keras_training import (
    NetworkClassifier,
    build_training_state,
    import_keras,
    standardization,
)

__all__ = ["AttentionClassifier"]

BLOCK: Final = 512
"""Utterances whose frames are summed at once."""
SCORE_UNITS: Final = 64
WARM_UP: Final = 0.1
"""Share of the gradient steps in which the learning rate rises."""
MASKED: Final = -1e4
"""Added to the attention scores of padding."""


class AttentionClassifier(NetworkClassifier):
    """A Keras network that weights frames by attention, and pools them to mean and standard deviation.

    Frames of all layers of an encoder pass one dense layer, so that the network learns the weights of the
    layers. Each head of the attention pools its share of the units (K. Okabe et al., *Attentive
    statistics pooling for deep speaker embedding*, 2018). Channels are standardized with the training
    frames; all-zero frames are padding. A two-dimensional input is a table: one frame per row. TensorFlow
    is imported by ``fit``.

    ``fit`` requests ``validation`` by scikit-learn's metadata routing.

    Args:
        units: Units of the dense layer, a multiple of ``heads``.
        heads: Heads of the attention.
        dropout: Dropout rate after the dense layer and before the output layer.
        input_dropout: Dropout rate of the standardized channels.
        learning_rate: Largest learning rate of AdamW; it rises from zero and decays to zero.
        weight_decay: Weight decay of AdamW.
        epochs: Passes over the training utterances.
        batch_size: Utterances per gradient step.
        label_smoothing: Share of the target that is spread evenly over all labels.
        time_mask: Largest share of the frames that is masked in a step (D. S. Park et al.,
            *SpecAugment*, 2019), drawn for every utterance.
        networks: Networks that are trained with different seeds; their probabilities are averaged.
        random_state: Seed of weights, order, dropout and masks.

    Attributes:
        classes_: Labels, shape ``(n_classes,)``.
        network_: The fitted ``keras.Model``; its outputs are probabilities.
        history_: One dict per epoch, averaged over the networks: ``loss`` and ``accuracy``; with
            validation data ``val_loss`` and ``val_accuracy``.
    """

    DTYPES = (np.float32, np.float16)
    __metadata_request__fit: ClassVar[dict[str, bool]] = {"validation": True}

    def __init__(
        self,
        units: int = 256,
        heads: int = 4,
        dropout: float = 0.3,
        input_dropout: float = 0.1,
        learning_rate: float = 1e-3,
        weight_decay: float = 0.05,
        epochs: int = 20,
        batch_size: int = 64,
        label_smoothing: float = 0.1,
        time_mask: float = 0.3,
        networks: int = 1,
        random_state: int | np.random.RandomState | None = None,
    ):
        self.units = units
        self.heads = heads
        self.dropout = dropout
        self.input_dropout = input_dropout
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.epochs = epochs
        self.batch_size = batch_size
        self.label_smoothing = label_smoothing
        self.time_mask = time_mask
        self.networks = networks
        self.random_state = random_state

    def fit(
        self,
        X: np.ndarray,
        y: ArrayLike,
        *,
        validation: tuple[np.ndarray, np.ndarray] | None = None,
    ) -> Self:
        """Train the networks.

        Args:
            X: Frames, shape ``(n, n_frames, n_channels)``, or a table, shape ``(n, n_features)``. float16
                frames are converted batch by batch.
            y: Labels, shape ``(n,)``.
            validation: Frames and labels whose loss is recorded after each epoch; they do not affect
                training.

        Raises:
            ValueError: If there is only one class, or ``units`` is no multiple of ``heads``.
        """
        keras = import_keras()
        X, y, encoder = self._checked(X, y)
        if self.units % self.heads:
            raise ValueError(f"units={self.units} is no multiple of heads={self.heads}")
        one_hot = np.eye(len(self.classes_), dtype=np.float32)
        targets = one_hot[encoder.transform(y)]
        weights = compute_sample_weight("balanced", y).astype(np.float32)
        recorded = None
        if validation is not None:
            frames = self._as_frames(np.asarray(validation[0], dtype=np.float32))
            recorded = (frames, one_hot[encoder.transform(validation[1])])
        seeds = check_random_state(self.random_state).randint(2**31, size=self.networks)
        keras.utils.set_random_seed(int(seeds[0]))
        standardize = standardization(X.shape[1:], *_moments(X))
        members, curves = [], []
        for seed in seeds:
            keras.utils.set_random_seed(int(seed))
            body = self._body(X.shape[1:])
            network = keras.Model(standardize.input, body(standardize.output))
            self._compile(network, steps=self.epochs * -(-len(X) // self.batch_size))
            build_training_state(network, np.asarray(X[:1], dtype=np.float32), targets)
            fitted = network.fit(
                self._batches(X, targets, weights, seed=int(seed)),
                epochs=self.epochs,
                validation_data=recorded,
                shuffle=False,  # the batches are shuffled
                verbose=0,
            )
            members.append(body)
            curves.append(fitted.history)
        answers = [body(standardize.output) for body in members]
        self.network_ = keras.Model(
            standardize.input, keras.layers.Average()(answers) if len(answers) > 1 else answers[0]
        )
        self.history_ = [
            {name: float(np.mean([curve[name][epoch] for curve in curves])) for name in curves[0]}
            for epoch in range(self.epochs)
        ]
        return self

    @staticmethod
    def _as_frames(X: ArrayLike) -> np.ndarray:
        X = np.asarray(X)
        return X[:, np.newaxis] if X.ndim == 2 else X

    def _body(self, shape: tuple[int, int]) -> Any:
        """Network from standardized frames to probabilities."""
        keras = import_keras()
        layers, ops = keras.layers, keras.ops
        n_frames, share = shape[0], self.units // self.heads
        inputs = keras.Input(shape)
        padding = ops.cast(ops.all(ops.equal(inputs, 0.0), axis=-1, keepdims=True), "float32")
        x = layers.Dropout(self.input_dropout)(inputs)
        x = layers.Dense(self.units, activation="gelu")(x)
        x = layers.Dropout(self.dropout)(x)
        scores = layers.Dense(self.heads)(layers.Dense(SCORE_UNITS, activation="tanh")(x))
        scores = scores + MASKED * padding
        # Keras' own softmax warns of tables, which have one frame.
        scores = ops.exp(scores - ops.max(scores, axis=1, keepdims=True))
        weights = scores / ops.sum(scores, axis=1, keepdims=True)
        weights = ops.expand_dims(weights, -1)
        x = layers.Reshape((n_frames, self.heads, share))(x)
        mean = ops.sum(weights * x, axis=1, keepdims=True)
        variance = ops.sum(weights * ops.square(x - mean), axis=1)
        pooled = layers.Concatenate()(
            [layers.Flatten()(mean), layers.Flatten()(ops.sqrt(variance + 1e-5))]
        )
        pooled = layers.Dropout(self.dropout)(pooled)
        return keras.Model(inputs, layers.Dense(len(self.classes_), activation="softmax")(pooled))

    def _compile(self, network: Any, *, steps: int) -> None:
        keras = import_keras()
        rising = max(1, int(WARM_UP * steps))
        rate = keras.optimizers.schedules.CosineDecay(
            0.0, max(1, steps - rising), warmup_target=self.learning_rate, warmup_steps=rising
        )
        network.compile(
            optimizer=keras.optimizers.AdamW(rate, weight_decay=self.weight_decay, clipnorm=1.0),
            loss=keras.losses.CategoricalCrossentropy(label_smoothing=self.label_smoothing),
            metrics=["accuracy"],
        )

    def _batches(
        self, X: np.ndarray, targets: np.ndarray, weights: np.ndarray, *, seed: int
    ) -> Any:
        """Make batches in a new order with new masks in every epoch; they are converted one by one."""
        keras = import_keras()
        generator = np.random.default_rng(seed)
        size, longest = self.batch_size, self.time_mask

        class Batches(keras.utils.PyDataset):  # type: ignore[name-defined]
            def __init__(self) -> None:
                super().__init__()
                self.on_epoch_end()

            def on_epoch_end(self) -> None:
                self.order = generator.permutation(len(X))

            def __len__(self) -> int:
                return int(np.ceil(len(X) / size))

            def __getitem__(self, number: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
                rows = np.sort(self.order[number * size : (number + 1) * size])
                frames = np.asarray(X[rows], dtype=np.float32)
                return _masked(frames, longest, generator), targets[rows], weights[rows]

        return Batches()


def _moments(X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and variance of each channel over all frames that are no padding."""
    total, squares, count = np.zeros(X.shape[2]), np.zeros(X.shape[2]), 0
    for start in range(0, len(X), BLOCK):
        block = np.asarray(X[start : start + BLOCK], dtype=np.float64)
        frames = block[np.any(block != 0, axis=2)]
        total += frames.sum(axis=0)
        squares += np.square(frames).sum(axis=0)
        count += len(frames)
    mean = total / max(count, 1)
    return mean, np.maximum(squares / max(count, 1) - mean**2, 0)


def _masked(frames: np.ndarray, longest: float, generator: np.random.Generator) -> np.ndarray:
    """Set successive frames of each utterance to zero, up to this share of its frames."""
    lengths = np.any(frames != 0, axis=2).sum(axis=1)
    width = generator.uniform(0, longest, len(frames)) * lengths
    start = generator.uniform(0, 1, len(frames)) * (lengths - width)
    at = np.arange(frames.shape[1])
    hidden = (at >= start[:, None]) & (at < (start + width)[:, None])
    frames[hidden] = 0
    return frames

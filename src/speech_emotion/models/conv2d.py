"""A Keras network that looks at frame sequences as pictures of time and coefficient."""

from __future__ import annotations

from typing import Any

from speech_emotion.models.conv1d import Conv1DClassifier
from speech_emotion.models.keras_training import import_keras

__all__ = ["Conv2DClassifier"]


class Conv2DClassifier(Conv1DClassifier):
    """Stacked 2-D convolutions over frames and their coefficients, such as mel bands in dB.

    Everything but the layers is as in :class:`Conv1DClassifier`: ``kernel_size`` is the side of a
    square, and each block halves frames and coefficients.
    """

    def _layers(self, x: Any) -> Any:
        layers = import_keras().layers
        x = layers.Reshape((*x.shape[1:], 1))(x)
        for block in range(self.blocks):
            filters = self.filters * 2**block
            x = layers.Conv2D(filters, self.kernel_size, padding="same", use_bias=False)(x)
            x = layers.BatchNormalization()(x)
            x = layers.ReLU()(x)
            x = layers.MaxPooling2D(2, padding="same")(x)
            x = layers.Dropout(self.dropout)(x)
        frames, coefficients, filters = x.shape[1:]
        # Where in the spectrum something is matters, when it is does not.
        x = layers.Reshape((frames, coefficients * filters))(x)
        return self._pooled(x)

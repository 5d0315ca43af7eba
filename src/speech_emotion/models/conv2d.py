"""A Keras network of 2-D convolutions over time and frequency."""

from __future__ import annotations

from typing import Any

from speech_emotion.models.conv1d import Conv1DClassifier
from speech_emotion.models.keras_training import import_keras

__all__ = ["Conv2DClassifier"]


class Conv2DClassifier(Conv1DClassifier):
    """A Keras network of 2-D convolutions over frames and their channels, such as mel bands in dB.

    Parameters and attributes are those of :class:`Conv1DClassifier`. Kernels are squares of side
    ``kernel_size``, the number of filters doubles with each block, and pooling halves frames and
    channels.
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
        # Pooling over time only: the position in the spectrum matters.
        x = layers.Reshape((frames, coefficients * filters))(x)
        return self._pooled(x)

import numpy as np
import pytest

from speech_emotion.models import AttentionClassifier, Conv1DClassifier, conv1d
from speech_emotion.models.keras_training import import_keras, stop_callbacks, training_batches

N, FRAMES, CHANNELS = 50, 20, 8
CODES = np.arange(N) % 4
TARGETS = np.eye(4, dtype=np.float32)[CODES]
ONES = np.ones((N, FRAMES, CHANNELS), np.float32)
NUMBERED = ONES * np.arange(N, dtype=np.float32)[:, None, None]


def epoch_of(data):
    """Return sequences and targets of one epoch."""
    batches = list(data.as_numpy_iterator())
    return tuple(np.concatenate(parts) for parts in zip(*batches, strict=True))


def test_every_epoch_has_all_utterances_in_a_new_order():
    data = training_batches(NUMBERED, TARGETS, batch_size=8, seed=3)
    (first, targets), (second, _) = epoch_of(data), epoch_of(data)
    assert sorted(first[:, 0, 0]) == sorted(second[:, 0, 0]) == list(range(N))
    assert (first[:, 0, 0] != second[:, 0, 0]).any()
    np.testing.assert_array_equal(targets, TARGETS[first[:, 0, 0].astype(int)])


@pytest.mark.parametrize("options", [{}, {"mixup": 0.4}, {"time_mask": 0.5, "channel_mask": 0.5}])
def test_batches_depend_on_the_seed_only(options):
    def drawn(seed):
        data = training_batches(NUMBERED, TARGETS, batch_size=8, seed=seed, **options)
        return np.concatenate([epoch_of(data)[0], epoch_of(data)[0]])

    np.testing.assert_array_equal(drawn(1), drawn(1))
    assert (drawn(1) != drawn(2)).any()


def test_mixup_mixes_sequences_and_targets_alike():
    X = np.repeat(TARGETS[:, None, :], FRAMES, axis=1)  # each frame is the target
    mixed, targets = epoch_of(training_batches(X, TARGETS, batch_size=N, mixup=1.0))
    np.testing.assert_allclose(mixed, np.repeat(targets[:, None, :], FRAMES, axis=1), atol=1e-6)
    np.testing.assert_allclose(targets.sum(axis=1), 1, atol=1e-6)
    assert ((targets > 0.01) & (targets < 0.99)).any()


@pytest.mark.parametrize(
    ("option", "axis", "length"), [("time_mask", 1, FRAMES), ("channel_mask", 2, CHANNELS)]
)
def test_masks_are_contiguous_and_at_most_the_share(option, axis, length):
    many, targets = np.tile(ONES, (20, 1, 1)), np.tile(TARGETS, (20, 1))
    masked, _ = epoch_of(training_batches(many, targets, batch_size=100, **{option: 0.5}))
    assert set(np.unique(masked)) == {0.0, 1.0}
    rows = np.moveaxis(masked, axis, 1)
    assert (rows == rows[:, :, :1]).all()  # the same along the other axis
    hidden = rows[:, :, 0] == 0
    runs = (np.diff(hidden.astype(int), axis=1, prepend=0) == 1).sum(axis=1)
    assert runs.max() == 1
    assert hidden.sum(axis=1).max() <= np.ceil(0.5 * length)
    # Widths are uniform, so their mean is half of the largest.
    assert hidden.mean() == pytest.approx(0.25, abs=0.02)


def test_early_stopping_restores_the_best_weights():
    keras = import_keras()
    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    X = rng.normal(size=(40, 30)).astype(np.float32)
    train, stop = X[:20], X[20:]
    targets = np.eye(2, dtype=np.float32)[rng.integers(0, 2, 40)]  # labels are random
    model = keras.Sequential([keras.Input((30,)), keras.layers.Dense(2, activation="softmax")])
    model.compile(keras.optimizers.Adam(0.1), "categorical_crossentropy", run_eagerly=True)
    callbacks = stop_callbacks(stop, targets[20:], patience=3)
    history = model.fit(train, targets[:20], epochs=60, verbose=0, callbacks=callbacks).history
    losses = history["stop_loss"]
    assert len(losses) == 1 + int(np.argmin(losses)) + 3 < 60
    after = keras.losses.categorical_crossentropy(targets[20:], model(stop))
    assert float(np.mean(after)) == pytest.approx(min(losses), abs=1e-6)


def tiny(**options):
    return Conv1DClassifier(filters=4, blocks=1, epochs=3, random_state=0, **options)


@pytest.mark.usefixtures("eagerly")
def test_early_stopping_uses_speakers_outside_the_training_data(monkeypatch, sequences):
    speakers = np.arange(len(sequences)) % 10
    X = sequences.copy()
    X[:, :, 3] = speakers[:, None]
    seen = {}

    def spy(name, function):
        def called(X, *rest, **options):
            seen[name] = set(np.unique(X[:, 0, 3].round(4)))
            return function(X, *rest, **options)

        monkeypatch.setattr(conv1d, name, called)

    spy("training_batches", training_batches)
    spy("stop_callbacks", stop_callbacks)
    network = tiny(patience=2).fit(X, np.arange(len(X)) % 3, groups=speakers)
    assert len(seen["stop_callbacks"]) == 2
    assert len(seen["training_batches"]) == 8
    assert not seen["stop_callbacks"] & seen["training_batches"]
    assert all(np.isfinite(epoch["stop_loss"]) for epoch in network.history_)


@pytest.mark.usefixtures("eagerly")
def test_validation_data_does_not_affect_training(sequences, codes):
    X, y, speakers = sequences[:180], codes, np.arange(180) % 9
    options = {"patience": 1, "mixup": 0.2, "time_mask": 0.2}
    without = tiny(**options).fit(X, y, groups=speakers)
    shuffled = np.roll(y, 1)
    validated = tiny(**options).fit(X, y, groups=speakers, validation=(X, shuffled))
    np.testing.assert_array_equal(without.predict_proba(X), validated.predict_proba(X))
    assert "val_loss" in validated.history_[0]


@pytest.mark.parametrize("groups", [None, np.zeros(180)])
def test_patience_requires_two_speakers(groups, sequences, codes):
    with pytest.raises(ValueError, match="patience needs groups of at least two speakers"):
        tiny(patience=3).fit(sequences[:180], codes, groups=groups)


@pytest.mark.parametrize(
    "network", [Conv1DClassifier(filters=2, blocks=1, epochs=2), AttentionClassifier(4, epochs=2)]
)
def test_a_training_step_is_traced_once(network, monkeypatch):
    model = import_keras().Model
    traced, step = [], model.train_step
    monkeypatch.setattr(
        model, "train_step", lambda self, data: traced.append(0) or step(self, data)
    )
    network.fit(NUMBERED, CODES)
    assert len(traced) == 1

import numpy as np
import pandas as pd
import pytest

from speech_emotion.features import FeatureSettings
from speech_emotion.pipelines.augmentation.nodes import draw_examples
from speech_emotion.pipelines.feature_engineering import nodes
from speech_emotion.pipelines.feature_engineering.nodes import collect_features, extract_shards

SETTINGS = FeatureSettings(feature_set="means_36", n_mfcc=20)


@pytest.fixture
def utterances(tone, write_sound):
    """Make utterances: tones of their own; the last one is no sound."""

    def make(count):
        rows = []
        for number in range(count):
            path = write_sound(f"{number}.wav", tone(200 + 10 * number, seconds=0.3))
            rows.append((f"c:{number:03d}", str(path), f"hash {number}"))
        path = write_sound("broken.wav", tone(seconds=0.3))
        path.write_text("no sound")
        return pd.DataFrame(
            [*rows, ("c:999", str(path), "hash of broken")],
            columns=["utterance_id", "path", "content_hash"],
        )

    return make


def plan_of(utterances, seed=1):
    plan = utterances[["utterance_id"]].assign(
        protocol="speaker_independent",
        variant=1,
        transform="gain",
        value=-6.0,
        seed=seed,
        telephone=False,
    )
    return pd.concat([plan, plan.assign(protocol="random_split")], ignore_index=True)


def extract(utterances, plan, store, settings=SETTINGS, n_jobs=1):
    """Extract what is missing in the store, add it, and return what was extracted."""
    made = {}
    for portion in extract_shards(utterances, plan, settings, view(store, "key"), n_jobs=n_jobs):
        made |= portion
    store |= made
    return pd.concat(made.values()) if made else pd.DataFrame()


def collect(utterances, plan, store, settings=SETTINGS):
    views = view(store, "key", "reason"), view(store, "sequence"), view(store)
    tables, sequences, rejected = collect_features(utterances, plan, settings, *views)
    array = np.concatenate([np.zeros((0, *sequences.shape[1:])), *sequences.blocks])
    assert array.shape == sequences.shape
    return pd.concat(tables, ignore_index=True), array, rejected


def view(store, *columns):
    """Load columns of what is stored, as the catalog does."""
    return {
        name: lambda table=table: table[list(columns) or list(table)]
        for name, table in store.items()
    }


def test_only_what_is_new_is_extracted(utterances):
    few, more, store = utterances(3), utterances(5), {}
    assert len(extract(few, plan_of(few), store)) == 2 * 4
    assert extract(few, plan_of(few), store).empty
    added = extract(more, plan_of(more), store)
    assert set(added["utterance_id"]) == {"c:003", "c:004"}
    assert len(added) == 2 * 2
    # Together they are what one run would have given.
    at_once = {}
    extract(more, plan_of(more), at_once)
    for piecewise, whole in zip(
        collect(more, plan_of(more), store), collect(more, plan_of(more), at_once), strict=True
    ):
        if isinstance(whole, pd.DataFrame):
            pd.testing.assert_frame_equal(piecewise, whole)
        else:
            assert (piecewise == whole).all()


def test_a_renamed_utterance_is_known_by_its_content(utterances):
    few, store = utterances(3), {}
    extract(few, plan_of(few), store)
    renamed = few.assign(utterance_id="d:" + few["utterance_id"])
    assert extract(renamed, plan_of(renamed), store).empty
    features, _, _ = collect(renamed, plan_of(renamed), store)
    assert features["utterance_id"].str.startswith("d:c:").all()


def test_a_changed_parameter_extracts_what_depends_on_it(utterances):
    few, store = utterances(3), {}
    extract(few, plan_of(few), store)
    other_seed = extract(few, plan_of(few, seed=2), store)
    assert set(other_seed["variant"]) == {1}
    others = FeatureSettings(feature_set="means_184", n_mfcc=20)
    assert len(extract(few, plan_of(few), store, others)) == 2 * 4
    features, _, _ = collect(few, plan_of(few), store)
    assert features.shape == (2 * 3, 2 + 36)


def test_unusable_sounds_are_listed_and_missing_ones_refused(utterances):
    few, store = utterances(2), {}
    extract(few, plan_of(few), store)
    features, sequences, rejected = collect(few, plan_of(few), store)
    assert features[["utterance_id", "variant"]].to_numpy().tolist() == [
        ["c:000", 0],
        ["c:000", 1],
        ["c:001", 0],
        ["c:001", 1],
    ]
    assert len(sequences) == 4
    assert features.notna().all(axis=None)
    assert rejected["path"].str.endswith("broken.wav").all()
    assert rejected["reason"].str.contains("unreadable").all()
    more = utterances(3)
    with pytest.raises(
        ValueError, match=r"2 of 8 results, that of .*2.wav among them, are not stored"
    ):
        collect(more, plan_of(more), store)


def test_shards_do_not_depend_on_workers(utterances, monkeypatch):
    monkeypatch.setattr(nodes, "SHARD_SIZE", 2)
    many, alone, both = utterances(5), {}, {}
    extract(many, plan_of(many), alone)
    extract(many, plan_of(many), both, n_jobs=2)
    assert len(alone) == 3
    assert list(alone) == list(both)
    for name, table in alone.items():
        pd.testing.assert_frame_equal(table, both[name])


def test_blocks_of_any_size_and_mixed_shards_give_the_same(utterances, monkeypatch):
    few, many, store, whole = utterances(3), utterances(7), {}, {}
    extract(many, plan_of(many), whole)
    expected = collect(many, plan_of(many), whole)
    monkeypatch.setattr(nodes, "SHARD_SIZE", 2)
    monkeypatch.setattr(nodes, "BLOCK", 3)
    monkeypatch.setattr(nodes, "RECENT", 1)
    extract(few, plan_of(few, seed=3), store)  # other variants of the same recordings
    extract(many.iloc[::-1], plan_of(many), store)
    found = collect(many, plan_of(many), store)
    pd.testing.assert_frame_equal(found[0], expected[0])
    np.testing.assert_array_equal(found[1], expected[1])
    pd.testing.assert_frame_equal(found[2], expected[2])


def test_nothing_usable_gives_empty_tables(utterances):
    nothing, store = utterances(0), {}
    extract(nothing, plan_of(nothing), store)
    features, sequences, rejected = collect(nothing, plan_of(nothing), store)
    assert features.shape == (0, 2 + 36)
    assert len(sequences) == 0
    assert len(rejected) == 2


def test_an_interrupted_run_is_taken_up_where_it_stopped(utterances, monkeypatch):
    monkeypatch.setattr(nodes, "SHARD_SIZE", 1)
    many, whole, kept = utterances(4), {}, {}
    extract(many, plan_of(many), whole)
    for portion in extract_shards(many, plan_of(many), SETTINGS, {}, n_jobs=1):
        kept |= portion
        if len(kept) == 2:
            break
    extract(many, plan_of(many), kept)
    assert set(kept) == set(whole)  # under the same names: what was begun is replaced


def test_without_copies_there_is_still_an_example(utterances):
    recorded = utterances(1).iloc[:1].assign(synthetic=False)
    sounds, _ = draw_examples(recorded, plan_of(recorded).iloc[:0])
    assert list(sounds) == ["recording"]

import itertools
import logging

import numpy as np
import pandas as pd
import pytest

from speech_emotion.audio import content_digest, read_samples
from speech_emotion.features import (
    FeatureSettings,
    extraction,
    gather_features,
    index_features,
    store,
    store_features,
)
from speech_emotion.pipelines.reporting.nodes import draw_augmentation
from speech_emotion.runtime import ShardStore

SETTINGS = FeatureSettings(feature_set="means_36", n_mfcc=20)


@pytest.fixture
def utterances(tone, write_sound):
    """Make utterances: tones of their own; the last one is no sound."""

    def make(count):
        rows = []
        for number in range(count):
            path = write_sound(f"{number}.wav", tone(200 + 10 * number, seconds=0.3))
            rows.append((f"c:{number:03d}", str(path), content_digest(*read_samples(path))))
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
        line="",
    )
    return pd.concat([plan, plan.assign(protocol="random_split")], ignore_index=True)


@pytest.fixture
def make_cache(tmp_path):
    """Make empty caches."""
    numbers = itertools.count()
    return lambda: ShardStore(f"{tmp_path}/cache {next(numbers)}")


@pytest.fixture
def cache(make_cache):
    return make_cache()


def extract(utterances, plan, cache, settings=SETTINGS, n_jobs=1):
    """Extract what is missing in the cache, and return what was extracted."""
    before = cache.names()
    store_features(index_features(utterances, plan), settings, cache, n_jobs=n_jobs)
    tables = [cache.load(name) for name in cache.names() if name not in before]
    return pd.concat(tables) if tables else pd.DataFrame()


def collect(utterances, plan, cache, settings=SETTINGS):
    stored = gather_features(index_features(utterances, plan), settings, cache)
    array = np.concatenate([np.zeros((0, *stored.shape[1:])), *stored.sequences])
    assert array.shape == stored.shape
    return pd.concat(stored.statistics, ignore_index=True), array, stored.rejected


def test_only_what_is_new_is_extracted(utterances, cache, make_cache):
    few, more = utterances(3), utterances(5)
    assert len(extract(few, plan_of(few), cache)) == 2 * 4
    assert extract(few, plan_of(few), cache).empty
    added = extract(more, plan_of(more), cache)
    assert set(added["utterance_id"]) == {"c:003", "c:004"}
    assert len(added) == 2 * 2
    # Together they are what one run would have given.
    at_once = make_cache()
    extract(more, plan_of(more), at_once)
    for piecewise, whole in zip(
        collect(more, plan_of(more), cache), collect(more, plan_of(more), at_once), strict=True
    ):
        if isinstance(whole, pd.DataFrame):
            pd.testing.assert_frame_equal(piecewise, whole)
        else:
            assert (piecewise == whole).all()


def test_a_renamed_utterance_is_known_by_its_content(utterances, cache):
    few = utterances(3)
    extract(few, plan_of(few), cache)
    renamed = few.assign(utterance_id="d:" + few["utterance_id"])
    assert extract(renamed, plan_of(renamed), cache).empty
    features, _, _ = collect(renamed, plan_of(renamed), cache)
    assert features["utterance_id"].str.startswith("d:c:").all()


def test_a_changed_parameter_extracts_what_depends_on_it(utterances, cache):
    few = utterances(3)
    extract(few, plan_of(few), cache)
    other_seed = extract(few, plan_of(few, seed=2), cache)
    assert set(other_seed["variant"]) == {1}
    others = FeatureSettings(feature_set="means_184", n_mfcc=20)
    assert len(extract(few, plan_of(few), cache, others)) == 2 * 4
    features, _, _ = collect(few, plan_of(few), cache)
    assert features.shape == (2 * 3, 2 + 36)


def test_unusable_sounds_are_listed_and_missing_ones_refused(utterances, cache):
    few = utterances(2)
    extract(few, plan_of(few), cache)
    features, sequences, rejected = collect(few, plan_of(few), cache)
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
        collect(more, plan_of(more), cache)


def test_shards_do_not_depend_on_workers(utterances, monkeypatch, make_cache):
    monkeypatch.setattr(store, "SHARD_SIZE", 2)
    many, alone, both = utterances(5), make_cache(), make_cache()
    extract(many, plan_of(many), alone)
    extract(many, plan_of(many), both, n_jobs=2)
    assert len(alone.names()) == 3
    assert alone.names() == both.names()
    for name in alone.names():
        pd.testing.assert_frame_equal(alone.load(name), both.load(name))


def test_blocks_of_any_size_and_mixed_shards_give_the_same(
    utterances, monkeypatch, cache, make_cache
):
    few, many, whole = utterances(3), utterances(7), make_cache()
    extract(many, plan_of(many), whole)
    expected = collect(many, plan_of(many), whole)
    monkeypatch.setattr(store, "SHARD_SIZE", 2)
    monkeypatch.setattr(store, "BLOCK", 3)
    monkeypatch.setattr(store, "RECENT", 1)
    extract(few, plan_of(few, seed=3), cache)  # other variants of the same recordings
    extract(many.iloc[::-1], plan_of(many), cache)
    found = collect(many, plan_of(many), cache)
    pd.testing.assert_frame_equal(found[0], expected[0])
    np.testing.assert_array_equal(found[1], expected[1])
    pd.testing.assert_frame_equal(found[2], expected[2])


def test_nothing_usable_gives_empty_tables(utterances, cache):
    nothing = utterances(0)
    extract(nothing, plan_of(nothing), cache)
    features, sequences, rejected = collect(nothing, plan_of(nothing), cache)
    assert features.shape == (0, 2 + 36)
    assert len(sequences) == 0
    assert len(rejected) == 2


def test_an_interrupted_run_is_resumed(utterances, monkeypatch, cache, make_cache):
    monkeypatch.setattr(store, "SHARD_SIZE", 1)
    many, whole = utterances(4), make_cache()
    extract(many, plan_of(many), whole)
    put = ShardStore.put

    def interrupted(self, name, table):
        if len(self.names()) == 2:
            raise KeyboardInterrupt
        put(self, name, table)

    monkeypatch.setattr(ShardStore, "put", interrupted)
    with pytest.raises(KeyboardInterrupt):
        extract(many, plan_of(many), cache)
    assert len(cache.names()) == 2
    monkeypatch.setattr(ShardStore, "put", put)
    assert len(extract(many, plan_of(many), cache)) == 2 * 3
    assert cache.names() == whole.names()  # the resumed run forms the same shards


def test_two_runs_may_fill_one_cache_at_the_same_time(utterances, monkeypatch, cache):
    monkeypatch.setattr(store, "SHARD_SIZE", 2)
    many, put = utterances(4), ShardStore.put

    def overtaken(self, name, table):
        monkeypatch.setattr(ShardStore, "put", put)
        # Another run with fewer utterances stores its own shards meanwhile.
        extract(many.iloc[1:], plan_of(many.iloc[1:]), self)
        put(self, name, table)

    monkeypatch.setattr(ShardStore, "put", overtaken)
    extract(many, plan_of(many), cache)
    features, sequences, rejected = collect(many, plan_of(many), cache)
    assert len(features) == len(sequences) == 2 * 4
    assert len(rejected) == 2
    assert not features.duplicated(["utterance_id", "variant"]).any()


def test_the_key_has_the_version_of_the_extraction_and_not_of_the_package(
    utterances, monkeypatch, cache
):
    few = utterances(2)
    extract(few, plan_of(few), cache)
    monkeypatch.setattr("speech_emotion.__version__", "99.0")
    assert extract(few, plan_of(few), cache).empty
    monkeypatch.setattr(store, "EXTRACTION_VERSION", "another")
    assert len(extract(few, plan_of(few), cache)) == 2 * 3


def test_without_copies_there_is_still_an_example(utterances):
    recorded = utterances(1).iloc[:1].assign(synthetic=False)
    sounds, _ = draw_augmentation(recorded, plan_of(recorded).iloc[:0], SETTINGS)
    assert list(sounds) == ["recording"]


@pytest.mark.parametrize(
    "error",
    [PermissionError(13, "denied"), OSError(5, "I/O error"), MemoryError(), RuntimeError("?")],
)
def test_what_fails_now_is_listed_and_done_by_the_next_run(
    utterances, cache, monkeypatch, caplog, error
):
    few, decode = utterances(2), extraction.load_audio

    def fail(path, *rest, **options):
        if path.endswith("0.wav"):
            raise error
        return decode(path, *rest, **options)

    monkeypatch.setattr(extraction, "load_audio", fail)
    extract(few, plan_of(few), cache)
    assert "2 of 6 sounds could not be used now; the next run tries them again" in caplog.text
    features, _, rejected = collect(few, plan_of(few), cache)
    assert set(features["utterance_id"]) == {"c:001"}
    assert rejected["path"].str.endswith("0.wav").sum() == 2
    monkeypatch.undo()
    extract(few, plan_of(few), cache)
    features, _, rejected = collect(few, plan_of(few), cache)
    assert set(features["utterance_id"]) == {"c:000", "c:001"}
    assert rejected["path"].str.endswith("broken.wav").all()


def test_a_recording_that_was_replaced_after_ingestion_is_not_used(
    utterances, cache, write_sound, tone
):
    few = utterances(2)
    write_sound("0.wav", tone(999, seconds=0.3))
    extract(few, plan_of(few), cache)
    _, _, rejected = collect(few, plan_of(few), cache)
    replaced = rejected[rejected["path"].str.endswith("0.wav")]
    assert replaced["reason"].str.contains("another one than at ingestion; run the ingestion").all()
    assert len(replaced) == 2
    # With its digest it is another sound, which has a key of its own.
    few.loc[0, "content_hash"] = content_digest(*read_samples(few["path"][0]))
    extract(few, plan_of(few), cache)
    features, _, _ = collect(few, plan_of(few), cache)
    assert set(features["utterance_id"]) == {"c:000", "c:001"}


def damage_end(path):
    path.write_bytes(path.read_bytes()[:-100])


def damage_page(path):
    content = bytearray(path.read_bytes())
    at = len(content) // 2
    content[at : at + 8] = bytes(255 - one for one in content[at : at + 8])
    path.write_bytes(content)


@pytest.mark.parametrize("damage", [damage_end, damage_page])
def test_a_damaged_shard_is_set_aside_and_made_anew(utterances, cache, tmp_path, caplog, damage):
    few = utterances(2)
    extract(few, plan_of(few), cache)
    before = collect(few, plan_of(few), cache)
    (path,) = tmp_path.glob("cache*/*.parquet")
    damage(path)
    with caplog.at_level(logging.WARNING):
        extract(few, plan_of(few), cache)
    assert "was damaged" in caplog.text
    assert path.with_name(f"_{path.name}.damaged").exists()
    for one, other in zip(before, collect(few, plan_of(few), cache), strict=True):
        np.testing.assert_array_equal(np.asarray(one), np.asarray(other))


def test_shards_of_older_versions_are_read(utterances, cache, tmp_path):
    few = utterances(2)
    extract(few, plan_of(few), cache)
    (path,) = tmp_path.glob("cache*/*.parquet")
    pd.read_parquet(path).drop(columns="unread").to_parquet(path)
    assert extract(few, plan_of(few), cache).empty
    assert len(collect(few, plan_of(few), cache)[0]) == 4


def test_rows_that_a_shard_lost_are_made_anew(utterances, cache, tmp_path):
    few = utterances(2)
    extract(few, plan_of(few), cache)
    before = collect(few, plan_of(few), cache)
    (path,) = tmp_path.glob("cache*/*.parquet")
    pd.read_parquet(path).iloc[1:].to_parquet(path)
    assert len(extract(few, plan_of(few), cache)) == 1
    for one, other in zip(before, collect(few, plan_of(few), cache), strict=True):
        np.testing.assert_array_equal(np.asarray(one), np.asarray(other))

import numpy as np
import pandas as pd
import pytest
from kedro.io import DatasetError
from sklearn.linear_model import LogisticRegression

from speech_emotion.datasets.array import ArrayBlocks, ArrayDataset
from speech_emotion.datasets.audio import AudioDataset, Sound
from speech_emotion.datasets.blocks import BlocksDataset, BlockwiseDataset
from speech_emotion.datasets.cache import CacheDataset
from speech_emotion.datasets.corpora import CorporaDataset
from speech_emotion.datasets.estimator import EstimatorDataset
from speech_emotion.datasets.stored import ParquetDataset
from speech_emotion.runtime import DamagedTable

SAMPLE = {
    "ravdess_actors": 0,
    "tess_words": 1,
    "savee_speakers": 0,
    "crema_d_speakers": 0,
}


class TestArray:
    def test_round_trip_is_mapped_from_disk(self, tmp_path):
        dataset = ArrayDataset(filepath=str(tmp_path / "a" / "x.npy"))
        assert not dataset.exists()
        array = np.arange(12, dtype=np.float32).reshape(3, 4)
        dataset.save(array)
        loaded = dataset.load()
        assert dataset.exists()
        assert isinstance(loaded, np.memmap)
        np.testing.assert_array_equal(loaded, array)
        dataset.save(array + 1)
        np.testing.assert_array_equal(dataset.load(), array + 1)
        assert [path.name for path in (tmp_path / "a").iterdir()] == ["x.npy"]

    @pytest.mark.parametrize("place", ["{}/x.npy", "memory://{}/x.npy"])
    def test_blocks_are_one_array_on_any_file_system(self, tmp_path, place):
        dataset = ArrayDataset(filepath=place.format(tmp_path))
        whole = np.arange(24, dtype=np.float32).reshape(6, 4)
        dataset.save(ArrayBlocks(whole.shape, (whole[at : at + 4] for at in (0, 4))))
        assert dataset.exists()
        assert isinstance(dataset.load(), np.memmap)
        np.testing.assert_array_equal(dataset.load(), whole)

    def test_objects_are_refused(self, tmp_path):
        dataset = ArrayDataset(filepath=str(tmp_path / "x.npy"))
        with pytest.raises(DatasetError, match="only numeric arrays"):
            dataset.save(np.array([{}], dtype=object))
        np.save(tmp_path / "x.npy", np.array([{}], dtype=object), allow_pickle=True)
        with pytest.raises(DatasetError):
            dataset.load()

    @pytest.mark.parametrize("size", [2, 4_000_000])  # 16 MB: several blocks
    def test_changed_values_are_found(self, tmp_path, size):
        path = tmp_path / "x.npy"
        dataset = ArrayDataset(filepath=str(path))
        dataset.save(np.ones(size, dtype=np.float32))
        assert dataset.load().sum() == size
        content = bytearray(path.read_bytes())
        content[-20] ^= 1  # one bit of the last value
        path.write_bytes(content)
        with pytest.raises(DatasetError, match="checksum differs"):
            dataset.load()

    def test_files_of_numpy_have_no_checksum(self, tmp_path):
        np.save(tmp_path / "x.npy", np.arange(5))
        loaded = ArrayDataset(filepath=str(tmp_path / "x.npy")).load()
        np.testing.assert_array_equal(loaded, np.arange(5))

    def test_missing_file(self, tmp_path):
        with pytest.raises(DatasetError):
            ArrayDataset(filepath=str(tmp_path / "x.npy")).load()


@pytest.mark.parametrize("kind", [ParquetDataset, BlocksDataset, BlockwiseDataset])
def test_changed_values_of_a_table_are_found(tmp_path, kind):
    path = tmp_path / "x.parquet"
    dataset = kind(filepath=str(path))
    table = pd.DataFrame({"x": np.random.default_rng(0).uniform(size=1000)})
    dataset.save(table)
    content = bytearray(path.read_bytes())
    content[4000] ^= 1  # one bit of a value that cannot be compressed
    path.write_bytes(content)
    with pytest.raises((DatasetError, DamagedTable), match=r"(?s)x\.parquet.*CRC"):
        pd.concat(dataset.load() if kind is BlockwiseDataset else [dataset.load()])


def test_a_damaged_description_of_a_table_names_the_file(tmp_path):
    path = tmp_path / "x.parquet"
    dataset = BlockwiseDataset(filepath=str(path))
    dataset.save(pd.DataFrame({"x": [1.0]}))
    content = bytearray(path.read_bytes())
    content[content.rindex(b'"pandas_version"')] ^= 1
    path.write_bytes(content)
    with pytest.raises(DamagedTable, match=r"x\.parquet is damaged \(Expecting property name"):
        list(dataset.load())


class TestAudio:
    @pytest.mark.parametrize("suffix", ["wav", "flac"])
    @pytest.mark.parametrize("channels", [1, 2])
    def test_round_trip(self, tmp_path, tone, suffix, channels):
        dataset = AudioDataset(filepath=str(tmp_path / "a" / f"x.{suffix}"))
        samples = tone(440) if channels == 1 else np.stack([tone(440), tone(880)], axis=1)
        assert not dataset.exists()
        dataset.save(Sound(samples, 22050))
        loaded = dataset.load()
        assert dataset.exists()
        assert loaded.sample_rate == 22050
        np.testing.assert_allclose(loaded.samples, samples, atol=1e-4)

    def test_any_file_system(self, tone):
        dataset = AudioDataset(filepath="memory://sounds/x.wav", save_args={"subtype": "FLOAT"})
        dataset.save(Sound(tone(440), 22050))
        np.testing.assert_array_equal(dataset.load().samples, tone(440))

    def test_preview_is_a_picture(self, tmp_path, tone):
        import base64

        dataset = AudioDataset(filepath=str(tmp_path / "x.wav"))
        dataset.save(Sound(np.append(tone(440), np.zeros(5000, np.float32)), 22050))
        assert base64.b64decode(dataset.preview())[:4] == b"\x89PNG"

    def test_missing_file(self, tmp_path):
        with pytest.raises(DatasetError):
            AudioDataset(filepath=str(tmp_path / "x.wav")).load()


class TestCorpora:
    def test_sample_is_made_where_no_folder_is_given(self, tmp_path):
        dataset = CorporaDataset(sample_path=str(tmp_path / "sample"), sample=SAMPLE)
        folder = dataset.load()
        assert folder == tmp_path / "sample"
        assert len(list(folder.rglob("*.wav"))) == 14

    def test_given_folder_is_taken_and_never_written(self, tmp_path):
        dataset = CorporaDataset(
            filepath=str(tmp_path / "mine"), sample_path=str(tmp_path / "sample"), sample=SAMPLE
        )
        assert dataset.load() == tmp_path / "mine"
        assert not (tmp_path / "mine").exists()
        assert not (tmp_path / "sample").exists()

    def test_no_folder_at_all(self):
        with pytest.raises(DatasetError, match="corpora_dir=PATH"):
            CorporaDataset().load()


class TestBlocks:
    @pytest.mark.parametrize("place", ["{}/a/x.parquet", "memory://{}/a/x.parquet"])
    def test_a_table_is_the_same_whole_or_in_blocks(self, tmp_path, place):
        dataset = BlocksDataset(filepath=place.format(tmp_path))
        whole = pd.DataFrame({"key": ["a", "b", "c"], "x": np.array([1, 2, 3], np.float32)})
        dataset.save(whole.iloc[at : at + 2] for at in (0, 2))
        assert dataset.exists()
        pd.testing.assert_frame_equal(dataset.load(), whole)
        dataset.save(whole.head(1))
        pd.testing.assert_frame_equal(dataset.load(), whole.head(1))

    def test_what_an_interruption_leaves_is_no_table(self, tmp_path):
        dataset = BlocksDataset(filepath=str(tmp_path / "x.parquet"))

        def blocks():
            yield pd.DataFrame({"x": [1]})
            raise OSError("the power is gone")

        with pytest.raises(DatasetError, match="power"):
            dataset.save(blocks())
        assert not dataset.exists()


class TestCache:
    def test_cache_is_shared_by_all_that_load_it(self, tmp_path):
        dataset = CacheDataset(path=str(tmp_path / "cache"))
        first, second = dataset.load(), dataset.load()
        assert first.names() == []
        first.put("a-1", pd.DataFrame({"x": [1], "y": [2]}))
        second.within("other").put("b-1", pd.DataFrame({"x": [3]}))
        assert second.names() == ["a-1"]
        assert second.names("b-") == []
        assert second.load("a-1", ["y"]).to_dict("list") == {"y": [2]}
        assert first.within("other").names("b-") == ["b-1"]

    def test_an_interrupted_write_leaves_no_shard(self, tmp_path):
        cache = CacheDataset(path=str(tmp_path)).load()

        class Interrupted(Exception):
            pass

        class Table(pd.DataFrame):
            def to_parquet(self, path, **options):
                path.write(b"PAR1 half of it")
                raise Interrupted

        with pytest.raises(Interrupted):
            cache.put("a", Table({"x": [1]}))
        assert not list(tmp_path.iterdir())
        assert cache.names() == []
        cache.put("a", pd.DataFrame({"x": [2]}))
        assert cache.load("a")["x"].tolist() == [2]

    def test_a_cache_is_no_output(self, tmp_path):
        with pytest.raises(DatasetError, match="not an output"):
            CacheDataset(path=str(tmp_path)).save(pd.DataFrame())


class TestEstimator:
    def test_round_trip_replaces_the_former(self, tmp_path):
        dataset = EstimatorDataset(filepath=str(tmp_path / "model"))
        assert not dataset.exists()
        x, y = np.arange(8.0).reshape(-1, 1), np.arange(8) // 4
        (tmp_path / "model").mkdir()
        (tmp_path / "model" / "stale").touch()
        dataset.save(LogisticRegression().fit(x, y))
        assert dataset.load().predict(x).tolist() == y.tolist()
        assert not (tmp_path / "model" / "stale").exists()


@pytest.mark.parametrize(
    ("family", "needed", "needless"),
    [
        ("conv1d", {"keras"}, {"onnxruntime", "xgboost-cpu", "xgboost"}),
        ("xgboost", set(), {"keras", "onnxruntime"}),
        ("shrinkage_lda", {"fsspec", "scikit-learn"}, {"keras", "xgboost-cpu", "xgboost"}),
    ],
)
def test_a_model_requires_only_the_packages_of_its_members(family, needed, needless):
    from speech_emotion.datasets.registry import _pinned
    from speech_emotion.features import FeatureSettings
    from speech_emotion.models import Combiner, EmotionPredictor, Member

    predictor = EmotionPredictor(
        ("angry",), FeatureSettings(), (Member(family, None),), Combiner.single(family)
    )
    names = {requirement.split("==")[0] for requirement in _pinned(predictor)}
    assert needed <= names
    assert not needless & names
    assert family != "conv1d" or names & {"tensorflow", "tensorflow-cpu"}
    assert family != "xgboost" or names & {"xgboost", "xgboost-cpu"}


def test_a_folder_of_recordings_may_be_a_number(tmp_path, monkeypatch):
    from speech_emotion.datasets import RecordingsDataset

    monkeypatch.chdir(tmp_path)
    with pytest.raises(DatasetError, match=r"the number 2026, .* recordings_dir=\./NAME"):
        RecordingsDataset(filepath=2026).load()
    (tmp_path / "2026").mkdir()
    (tmp_path / "2026/a.wav").write_bytes(b"RIFF")
    assert RecordingsDataset(filepath=2026).load()["call"].tolist() == ["a.wav"]


def test_a_raw_file_is_read_as_it_is(tmp_path):
    from speech_emotion.datasets import RawFileDataset

    path = tmp_path / "a.csv"
    path.write_bytes(b"\xef\xbb\xbfa;b\r\n")
    dataset = RawFileDataset(filepath=str(path))
    assert dataset.load() == path.read_bytes()
    with pytest.raises(DatasetError, match="never written"):
        dataset.save(b"x")

"""Files of public bug reports with their expected outcome.

Opt-in: the folder SPEECH_EMOTION_CASES holds the files that ``OUTCOMES``, ``EXPORTS`` and the archives below
name. The default tests make files of the same classes themselves.
"""

import os
import tarfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from speech_emotion.audio import AudioError, has_codecs, load_audio, open_recording, read_samples
from speech_emotion.batch import predict_folder
from speech_emotion.call_scoring import CallSettings, find_recordings, score_recording
from speech_emotion.contact_center import ExportSettings, read_export
from speech_emotion.corpora import CorporaSettings, ingest

pytestmark = pytest.mark.real_corpora
PROJECT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def cases():
    folder = os.environ.get("SPEECH_EMOTION_CASES")
    if not folder:
        pytest.skip("SPEECH_EMOTION_CASES is not set")
    return Path(folder)


OUTCOMES = {
    "vbr_no_xing_24s.mp3": 24.2,
    "download_cut.mp3": "truncated: 24.0 s by its header, 14.4 s in the file",
    "gsm_wav49.WAV": 10.0,
    "ima_adpcm.wav": 10.2,
    "blockalign_0.wav": 10.0,
    "sox_pipe_7ffff000.wav": 10.0,
    "unfinished_data_0.wav": 10.0,
    "data_44_too_long.wav": 10.0,
    "odd_byte_mono.wav": 10.0,
    "data_6s_of_10s.wav": "covers 6.0 s, but about 4.0 s more follow",
    "extensible_cut.wav": "truncated: 10.0 s by its header, 7.5 s in the file",
    "call.m4a": 10.1 if has_codecs() else "speech-emotion[codecs]",
    "m4a_named.mp3": 10.1 if has_codecs() else "contains MP4 or M4A",
    "mono_twice_stereo.wav": 10.0,
    "reliability/rate_1hz_4kb.wav": "sample rate 1 Hz",
    "reliability/flac_claims_2e36_samples.flac": "longer than",
    "reliability/float_1e30.wav": "divide them so that full scale is 1",
    "reliability/float_1e5_loud.wav": "divide them so that full scale is 1",
    "reliability/truncated_60_percent.wav": "truncated: 1.0 s by its header, 0.6 s",
}
"""Seconds of sound, or a part of the reason of rejection."""


@pytest.mark.parametrize("name", OUTCOMES)
def test_recordings(cases, predictor, name):
    expected = OUTCOMES[name]
    scored = score_recording(cases / name, predictor, CallSettings(min_call_s=0.5))
    reason = scored.channels["reason"][0]
    if isinstance(expected, str):
        assert expected in reason
        for read in (read_samples, load_audio):
            with pytest.raises(AudioError) as caught:
                read(cases / name)
            assert expected in caught.value.reason
        assert expected in predictor.predict_files([cases / name])["error"][0]
        return
    assert reason == ""
    assert scored.channels["minutes"][0] * 60 == pytest.approx(expected, abs=0.15)
    assert predictor.predict_files([cases / name])["error"].isna().all()


def test_blocks_of_an_mp3_without_xing_header_are_those_of_ffmpeg(cases):
    av = pytest.importorskip("av")
    path = cases / "vbr_no_xing_24s.mp3"
    with open_recording(path) as recording:
        blocks = np.concatenate(list(recording.blocks(1.0)))[:, 0]
    with av.open(str(path)) as container:
        frames = [frame.to_ndarray()[0] for frame in container.decode(audio=0)]
    np.testing.assert_allclose(blocks, np.concatenate(frames), atol=1e-5)


def unpacked(cases, name, folder):
    with tarfile.open(cases / f"{name}.tar.gz", errors="surrogateescape") as archive:
        archive.extractall(folder, filter="fully_trusted")
    return folder


def test_a_name_that_is_not_utf8(cases, predictor, tmp_path):
    folder = unpacked(cases, "name_latin1", tmp_path) / "calls"
    found = find_recordings(folder).set_index("call")["reason"]
    assert found["good.wav"] == ""
    assert "not UTF-8" in found["Gespr\\xe4ch.wav"]
    assert (
        score_recording(folder / "good.wav", predictor, CallSettings()).channels["reason"][0] == ""
    )
    predictor.save(tmp_path / "model")
    predict_folder(folder, tmp_path / "results", model_uri=str(tmp_path / "model"))
    assert pd.read_parquet(tmp_path / "results")["error"].isna().tolist() == [True]
    assert "Gespr" in (tmp_path / "results/_not_read.csv").read_text()


def test_a_linked_folder(cases, tmp_path):
    found = find_recordings(unpacked(cases, "linked_day", tmp_path) / "calls")
    assert found["call"].tolist() == ["day1/a.wav", "day2/b.wav"]
    assert (found["reason"] == "").all()


def corpora(folder):
    base = yaml.safe_load((PROJECT / "conf/base/ingestion/parameters.yml").read_text())["corpora"]
    return ingest(folder, CorporaSettings.model_validate(base), progress=False)


def test_the_archive_of_kaggle(cases, tmp_path):
    utterances, _ = corpora(unpacked(cases, "kaggle_one_archive", tmp_path) / "PATH")
    assert set(utterances["corpus"]) == {"ravdess", "tess", "savee", "crema_d"}


def test_a_cut_clip_of_ravdess(cases, tmp_path):
    _, rejected = corpora(unpacked(cases, "ravdess_one_cut", tmp_path) / "PATH")
    assert rejected["path"].str.contains("03-01-05-").tolist() == [True]
    assert "truncated" in rejected["reason"][0]


def test_sexes_as_letters(cases, tmp_path):
    utterances, _ = corpora(unpacked(cases, "crema_sex_letters", tmp_path) / "PATH")
    assert set(utterances["sex"]) == {"female", "male"}


SECONDS = "set calls_export.durations to seconds"
EXPORTS = {
    "durations_plain_seconds.csv": ({"durations": "h:mm:ss"}, 0, SECONDS),
    "excel_day_fractions.csv": ({}, None, "set calls_export.durations"),
    "quotes_open_twice.csv": ({}, 58, "never closed"),
    "semicolon_decimal_comma.csv": ({}, 60, ""),
    "separator_at_line_end.csv": ({}, 60, ""),
    "blank_lines_then_bad.csv": ({}, 59, "resolved maybe"),
    "reliability/export_plain_for_comparison.csv": ({}, 60, ""),
    "reliability/export_one_start_2035.csv": ({}, 59, "start 2035"),
    "reliability/export_one_start_9999.csv": ({}, 59, "start 9999"),
    "reliability/export_start_year_0000.csv": ({}, 59, "start 0000"),
    "reliability/export_start_now.csv": ({}, 59, "start now cannot be read"),
    "reliability/export_hmmss_with_plain_seconds.csv": ({"durations": "h:mm:ss"}, 0, SECONDS),
}
"""Settings, number of calls (none for an error), and a part of the reason."""


@pytest.mark.parametrize("name", EXPORTS)
def test_exports(cases, name):
    settings, count, reason = EXPORTS[name]
    content = (cases / name).read_bytes()
    if count is None:
        with pytest.raises(ValueError, match=reason):
            read_export(content, ExportSettings(**settings))
        return
    calls, rejected = read_export(content, ExportSettings(**settings))
    assert (len(calls), len(calls) + len(rejected)) == (count, 60)
    assert rejected["reason"].str.contains(reason, regex=False).all()
    if name.startswith("blank_lines"):
        assert rejected["line"].tolist() == [34]
    if count:
        aht = calls[["talk_s", "hold_s", "after_call_s"]].sum(axis=1).mean()
        assert 200 < aht < 400

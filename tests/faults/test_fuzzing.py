"""Damaged sounds and exports by the thousand: each is read or refused with a reason, within limits.

The default is a small number; ``make faults`` runs 5,000 of each.
"""

import io
import itertools
import os
import random
import resource
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
import yaml
from fault_commands import note

from speech_emotion.audio import AudioError, read_samples
from speech_emotion.contact_center import (
    ExportSettings,
    SimulatorSettings,
    read_export,
    simulate_calls,
)
from speech_emotion.contact_center.calls_table import MissingColumns
from speech_emotion.corpora import CorporaSettings, ingest
from speech_emotion.text_tables import UnreadableTable

FULL = "SPEECH_EMOTION_FAULTS" in os.environ
SOUNDS = 5000 if FULL else 120
EXPORTS = 5000 if FULL else 60
LONGEST_S = 2.0
LARGEST_MB = 300
ENCODINGS = [
    ("wav", "WAV", "PCM_16"),
    ("wav", "WAV", "FLOAT"),
    ("wav", "WAV", "GSM610"),
    ("flac", "FLAC", "PCM_16"),
    ("ogg", "OGG", "VORBIS"),
    ("opus", "OGG", "OPUS"),
    ("mp3", "MP3", "MPEG_LAYER_III"),
]


def mutate(content, rng):
    """Return content with one to four damages; half of them are in the first 128 bytes."""
    content = bytearray(content)
    for _ in range(rng.randint(1, 4)):
        end = min(128, len(content)) if rng.random() < 0.5 else len(content)
        at = rng.randrange(max(end, 1))
        kind = rng.randrange(7)
        if kind == 0:
            content[at : at + 1] = bytes([rng.randrange(256)])
        elif kind == 1:
            content[at : at + 4] = rng.choice([0, 1, 2**31 - 1, 2**32 - 1]).to_bytes(4, "little")
        elif kind == 2:
            content[at : at + 8] = rng.randbytes(8)
        elif kind == 3:
            del content[at:]
        elif kind == 4:
            del content[at : at + rng.randrange(1, 600)]
        elif kind == 5:
            content[at:at] = content[: rng.randrange(1, 600)]
        else:
            length = rng.randrange(1, 600)
            content[at : at + length] = bytes(length)
    return bytes(content)


def sounds(count):
    """Yield suffix and content of damaged sounds."""
    rng, noise = random.Random(0), np.random.default_rng(0)
    originals = []
    for suffix, kind, subtype in ENCODINGS:
        rate = 16000 if kind == "OGG" else 8000
        times = np.arange(rate // 2) / rate
        tone = 0.4 * np.sin(2 * np.pi * 300 * times) + 0.05 * noise.normal(size=len(times))
        file = io.BytesIO()
        soundfile.write(file, tone, rate, format=kind, subtype=subtype)
        originals.append((suffix, file.getvalue()))
    for number in range(count):
        suffix, content = originals[number % len(originals)]
        yield suffix, mutate(content, rng)


def test_damaged_sounds_are_read_or_refused(tmp_path, table):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    read, reasons, longest = 0, [], 0.0
    for suffix, content in sounds(SOUNDS):
        path = tmp_path / f"sound.{suffix}"
        path.write_bytes(content)
        started = time.process_time()
        try:
            samples, rate = read_samples(path)
            assert np.isfinite(samples).all()
            assert 0 < len(samples) <= 86_400 * rate
            read += 1
        except AudioError as error:
            reasons.append("" if error.transient else error.reason)
        longest = max(longest, time.process_time() - started)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    refused = len(reasons)
    assert read + refused == SOUNDS
    assert all(reasons)
    assert min(read, refused) > SOUNDS / 20
    assert longest < LONGEST_S
    assert grown < LARGEST_MB
    said = f"{read} read, {refused} refused, {longest:.2f} s at most, {grown:.0f} MB more memory"
    note(table, f"{SOUNDS} damaged sounds", "reader", said, "all accounted for")


def settings():
    parameters = Path(__file__).parents[2] / "conf/base/ingestion/parameters.yml"
    return CorporaSettings.model_validate(yaml.safe_load(parameters.read_text())["corpora"])


@pytest.mark.skipif(not FULL, reason="make faults runs it")
def test_damaged_sounds_are_accounted_for_by_ingestion(tmp_path, table):
    folder = tmp_path / "CREMA-D/AudioWAV"
    folder.mkdir(parents=True)
    speakers, sentences = (
        range(1001, 1092),
        ["DFA", "IEO", "IOM", "ITH", "ITS", "IWL", "IWW", "MTI", "TAI", "TIE", "TSI", "WSI"],
    )
    names = map(
        "_".join,
        itertools.product(map(str, speakers), sentences, ["ANG", "HAP", "NEU", "SAD", "FEA"]),
    )
    for name, (suffix, content) in zip(names, sounds(SOUNDS), strict=False):
        (folder / f"{name}_XX.{suffix}").write_bytes(content)
    assert len(list(folder.iterdir())) == SOUNDS
    utterances, rejected = ingest(tmp_path, settings(), n_jobs=1, progress=False)
    assert len(utterances) + len(rejected) == SOUNDS
    assert min(len(utterances), len(rejected)) > SOUNDS / 20
    assert rejected["reason"].str.len().gt(10).all()
    said = f"{len(utterances)} used, {len(rejected)} rejected"
    note(table, f"{SOUNDS} damaged sounds", "ingestion", said, "all accounted for")


def test_damaged_exports_are_read_or_refused(table):
    calls = simulate_calls(SimulatorSettings(days=20, calls=60, agents=2, teams=1)).head(30)
    rng, original = random.Random(1), calls.to_csv(index=False).encode()
    read, reasons, longest, rows = 0, [], 0.0, 0
    for _ in range(EXPORTS):
        content = mutate(original, rng)
        started = time.process_time()
        try:
            accepted, rejected = read_export(content, ExportSettings())
        except (UnreadableTable, MissingColumns) as error:
            reasons.append(str(error))
            continue
        finally:
            longest = max(longest, time.process_time() - started)
        read += 1
        rows += len(accepted) + len(rejected)
        assert rejected["reason"].str.len().gt(5).all()
        if b'"' not in content:
            lines = content.decode().replace("\r", "\n").split("\n")
            assert len(accepted) + len(rejected) == sum(map(bool, map(str.strip, lines))) - 1
    refused = len(reasons)
    assert all(reasons)
    assert min(read, refused) > EXPORTS / 20
    assert longest < LONGEST_S
    said = f"{read} read ({rows} rows), {refused} refused, {longest:.2f} s at most"
    note(table, f"{EXPORTS} damaged exports", "reader of exports", said, "all rows accounted for")

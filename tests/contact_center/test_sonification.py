import mido
import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from speech_emotion.contact_center import (
    KpiSettings,
    NoCalls,
    SoundMapping,
    bin_of_note,
    kpi_sound,
    note_name,
    scale_notes,
)
from speech_emotion.contact_center.sound_mapping import SCALES, frequency_of_note, note_of_value

FAST = KpiSettings(resamples=100, min_calls=2, target_aht_s=300)
LENGTHS = {"A01": [200.0, 260.0, None, 420.0, 590.0], "A02": [500.0, 240.0, None, 330.0, 410.0]}
ANGER = [0.0, 0.1, None, 0.2, 0.3]


@pytest.fixture(scope="module")
def calls(make_calls):
    """Ten calls of equal length per day and agent; no calls on the third day."""
    rows = []
    for agent, days in LENGTHS.items():
        for day, talk in enumerate(days):
            if talk is None:
                continue
            rows += [
                {
                    "start": f"2026-01-{5 + day:02d}T{9 + number}:00Z",
                    "agent_id": agent,
                    "customer_id": f"{agent}{day}{number}",
                    "talk_s": talk,
                    "flag": "angry" if number < 10 * ANGER[day] else "not_flagged",
                }
                for number in range(10)
            ]
    table = make_calls(rows)
    return table.assign(call_id=[str(number) for number in range(len(table))])


def sound_of(calls, agent_id="A01", **mapping):
    return kpi_sound(calls, agent_id=agent_id, settings=FAST, mapping=SoundMapping(**mapping))


def read_back(sound, tmp_path):
    """Write the samples into a WAV file and read it."""
    soundfile.write(tmp_path / "sound.wav", sound.samples, sound.sample_rate, subtype="PCM_16")
    return soundfile.read(tmp_path / "sound.wav")


def dominant(samples, rate):
    """Return the frequency of the strongest partial, in Hz."""
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples)), 2**19))
    return np.argmax(spectrum) * rate / 2**19


def of_voice(sound, voice):
    return sound.notes[sound.notes["voice"] == voice]


mappings = st.builds(
    SoundMapping,
    lowest_note=st.integers(36, 60),
    highest_note=st.integers(72, 96),
    root=st.sampled_from(["C", "F#", "A"]),
    scale=st.sampled_from(sorted(SCALES)),
)
ranges = st.tuples(st.floats(0, 500), st.floats(1, 500)).map(lambda ends: (ends[0], sum(ends)))


@given(mappings, ranges, st.floats(0, 1))
def test_a_note_identifies_the_bin_of_its_value(mapping, ends, place):
    value = ends[0] + place * (ends[1] - ends[0])
    note = note_of_value(np.array([value]), ends, mapping)[0]
    low, high = bin_of_note(note, ends, mapping)
    near = 1e-9 * ends[1]
    assert low - near <= value <= high + near
    assert high - low == pytest.approx((ends[1] - ends[0]) / len(scale_notes(mapping)))


@given(mappings, ranges)
def test_every_note_of_the_scale_is_reached_and_inverted(mapping, ends):
    notes = scale_notes(mapping)
    bins = [bin_of_note(note, ends, mapping) for note in notes]
    assert bins[0][0] == pytest.approx(ends[0])
    assert bins[-1][1] == pytest.approx(ends[1])
    middles = np.array([sum(ends) / 2 for ends in bins])
    np.testing.assert_array_equal(note_of_value(middles, ends, mapping), notes)
    assert (np.diff(middles) > 0).all()


def test_values_outside_get_the_nearest_note_and_nan_stays_nan():
    mapping = SoundMapping()
    notes = note_of_value(np.array([-5.0, 999.0, np.nan]), (0, 1), mapping)
    np.testing.assert_array_equal(notes, [48, 84, np.nan])
    with pytest.raises(ValueError, match="is not a note of the scale"):
        bin_of_note(49, (0, 1), mapping)


def test_notes_have_names_and_frequencies():
    assert frequency_of_note(69) == 440
    assert frequency_of_note(57) == 220
    assert [note_name(note) for note in (60, 69, 58)] == ["C4", "A4", "A#3"]
    assert scale_notes(SoundMapping(lowest_note=60, highest_note=72)).tolist() == [
        60,
        62,
        64,
        67,
        69,
        72,
    ]


@pytest.mark.parametrize("anger_cue", ["volume", "timbre", "both"])
@pytest.mark.parametrize("scale", ["major_pentatonic", "chromatic"])
def test_the_wav_sounds_the_mapped_pitch_of_every_period(calls, tmp_path, anger_cue, scale):
    sound = sound_of(calls, anger_cue=anger_cue, scale=scale)
    samples, rate = read_back(sound, tmp_path)
    assert (rate, samples.shape[1]) == (44_100, 2)
    notes = of_voice(sound, "A01").dropna(subset="note")
    assert len(notes) == 4
    for row, value in zip(notes.itertuples(), [v for v in LENGTHS["A01"] if v], strict=True):
        assert row.value == value
        part = samples[round(row.start_s * rate) :][: round(row.duration_s * rate)].mean(axis=1)
        cents = 1200 * np.log2(dominant(part, rate) / row.frequency_hz)
        assert abs(cents) < 15
        low, high = bin_of_note(row.note, sound.ends, sound.mapping)
        assert low <= value <= high


def test_missing_periods_are_silent_and_nothing_clicks_or_clips(calls, tmp_path):
    sound = sound_of(calls, "A01;A02")
    samples, rate = read_back(sound, tmp_path)
    beat = round(0.5 * rate)
    assert len(samples) == round((5 * 0.5 + 0.25) * rate)
    assert not samples[2 * beat : 3 * beat].any()
    assert samples[: 2 * beat].any()
    assert 0.2 < np.abs(samples).max() < 0.9
    for edge in (0, beat, 3 * beat, 4 * beat):
        assert np.abs(samples[edge : edge + 20]).max() < 0.01  # notes begin in silence
        assert np.abs(samples[max(0, edge - 20) : edge + 1]).max() < 0.01  # and end in it
    # The steepest step of a sine at full level; a click would be far steeper.
    fastest = 10 * sound.notes["frequency_hz"].max()
    assert np.abs(np.diff(samples, axis=0)).max() < 2 * np.pi * fastest / rate * 0.3


def test_loudest_mapping_of_two_angry_agents_does_not_clip(calls):
    angry = calls.assign(flag="angry")
    sound = sound_of(angry, "A01;A02", pan=0.0)
    assert np.abs(sound.samples).max() < 0.9


def test_two_agents_are_panned_left_and_right(calls, tmp_path):
    sound = sound_of(calls, "A01;A02", reference=False)
    samples, rate = read_back(sound, tmp_path)
    for side, voice in ((0, "A01"), (1, "A02")):
        for row in of_voice(sound, voice).dropna(subset="note").itertuples():
            part = samples[round(row.start_s * rate) :][: round(row.duration_s * rate), side]
            assert dominant(part, rate) == pytest.approx(row.frequency_hz, rel=0.01)
        alone = sound_of(calls, voice, reference=False)
        assert alone.notes["pan"].eq(0).all()
        np.testing.assert_allclose(alone.samples[:, 0], alone.samples[:, 1], atol=1e-6)


def test_the_energy_of_one_of_two_agents_is_on_its_side(calls):
    early = calls[(calls["agent_id"] == "A01") | (calls["start"] < "2026-01-06")]
    sound = sound_of(early, "A01;A02", reference=False)
    beat = round(0.5 * sound.sample_rate)
    later = np.square(sound.samples[3 * beat : 4 * beat]).sum(axis=0)  # A01 alone
    angle = (1 - 0.8) * np.pi / 4
    assert later[1] / later[0] == pytest.approx(np.tan(angle) ** 2, rel=0.01)


def test_anger_raises_the_volume(calls):
    sound = sound_of(calls.assign(talk_s=400.0), anger_cue="volume", reference=False)
    beat = round(0.5 * sound.sample_rate)
    level = [
        10 * np.log10(np.square(sound.samples[day * beat : (day + 1) * beat]).mean())
        for day in (0, 1, 3, 4)
    ]
    # 0, 10, 20 and 30 % angry are -12, -8, -4 and 0 dB.
    np.testing.assert_allclose(np.diff(level), [4, 4, 4], atol=0.05)


def test_anger_sharpens_the_timbre(calls):
    sound = sound_of(calls.assign(talk_s=400.0), anger_cue="timbre", reference=False)
    notes = of_voice(sound, "A01").dropna(subset="note")
    overtone = []
    for row in notes.itertuples():
        begin = round(row.start_s * sound.sample_rate)
        part = sound.samples[begin : begin + round(row.duration_s * sound.sample_rate), 0]
        spectrum = np.abs(np.fft.rfft(part * np.hanning(len(part)), 2**18))
        place = [round(k * row.frequency_hz * 2**18 / sound.sample_rate) for k in (1, 2)]
        overtone.append(spectrum[place[1]] / spectrum[place[0]])
    np.testing.assert_allclose(overtone, notes["timbre"], atol=0.02)
    assert (np.diff(overtone) > 0.1).all()


def test_the_reference_tone_plays_the_target_with_each_note(calls):
    with_it, without = sound_of(calls), sound_of(calls, reference=False)
    reference = of_voice(with_it, "target")
    assert len(reference) == 4
    assert reference["value"].eq(300).all()
    # The difference from the sound without it is the reference tone.
    voices = 1 + 10 ** (with_it.mapping.reference_db / 20)
    rest = with_it.samples - without.samples / voices
    part = rest[: round(0.45 * 44_100), 0]
    assert dominant(part, 44_100) == pytest.approx(reference["frequency_hz"].iloc[0], rel=0.01)
    assert "target" not in set(without.notes["voice"])


def test_few_calls_are_short_notes(calls):
    sparse = kpi_sound(calls, agent_id="A01", settings=FAST.model_copy(update={"min_calls": 11}))
    assert sparse.notes["duration_s"].unique() == pytest.approx([0.5 * 0.4])


def test_values_outside_a_fixed_range_are_marked(calls):
    sound = sound_of(calls, aht_range_s=(220, 500))
    assert sound.ends == (220, 500)
    assert of_voice(sound, "A01")["clipped"].tolist() == [True, False, False, False, True]
    assert "2 values outside the range" in sound.legend_text()
    assert sound_of(calls).ends == (180, 600)  # rounded outwards, above the largest value


def test_midi_has_the_same_notes_times_and_tempo(calls, tmp_path):
    sound = sound_of(calls, "A01;A02", beat_s=0.4)
    sound.midi().save(tmp_path / "sound.mid")
    file = mido.MidiFile(tmp_path / "sound.mid", charset="utf-8")
    head = file.tracks[0]
    assert [message.tempo for message in head if message.type == "set_tempo"] == [400_000]
    markers = [message.text for message in head if message.type == "marker"]
    assert markers == [f"2026-01-{day:02d}" for day in range(5, 10)]
    assert any("Pitch: AHT from" in message.text for message in head if message.type == "text")
    assert [track.name for track in file.tracks[1:]] == ["A01", "A02", "target"]
    for track in file.tracks[1:]:
        now, open_notes, played = 0.0, {}, []
        for message in track:
            now += mido.tick2second(message.time, file.ticks_per_beat, 400_000)
            if message.type == "note_on" and message.velocity:
                open_notes[message.note] = (now, message.velocity)
            elif message.type == "note_off":
                begin, velocity = open_notes.pop(message.note)
                played.append((begin, now - begin, message.note, velocity))
        assert not open_notes
        expected = of_voice(sound, track.name).dropna(subset="note")
        columns = ["start_s", "duration_s", "note", "velocity"]
        np.testing.assert_allclose(played, expected[columns].to_numpy(float), atol=1e-9)
        side = [m.value for m in track if m.type == "control_change" and m.control == 10]
        assert side == [{"A01": 14, "A02": 114, "target": 64}[track.name]]


def test_the_legend_describes_the_sound_mapping(calls):
    legend = sound_of(calls, "A01;A02").legend
    assert legend["Time"] == "one beat of 0.5 s is one day, 5 in total, from 2026-01-05"
    assert legend["Pitch"].startswith("AHT from 3:00 (C3) to 10:00 (C6) on C major pentatonic")
    assert legend["Left and right"] == "A01 left, A02 right"
    assert legend["Reference"] == "soft pure tone: the target, 5:00 (A3)"
    assert legend["Silence"] == "a day without a value (2 of 10)"
    assert "Data" not in legend
    assert "GENERATED" in sound_of(calls.assign(synthetic=True)).legend["Data"]


def test_fcr_has_notes_where_it_is_known(calls):
    short = FAST.model_copy(update={"repeat_days": 1.0, "target_fcr": 0.8})
    sound = kpi_sound(calls, kpi="fcr", settings=short)
    assert sound.voices == ["center"]
    known = of_voice(sound, "center").dropna(subset="note")
    assert 0 < len(known) < 5
    assert known["value"].eq(1.0).all()
    assert sound.ends == (0.8, 1.0)


@pytest.mark.parametrize(
    ("asked", "error", "message"),
    [
        ({"agent_id": "A01;A02;A03"}, ValueError, "3 agents"),
        ({"start": "2027-01-01"}, NoCalls, "No call from 2027-01-01"),
        ({"kpi": "fcr"}, ValueError, "FCR is unknown in all periods"),
        ({"start": "2026-01-07", "end": "2026-01-07"}, NoCalls, "No call"),
    ],
)
def test_impossible_selections_raise_errors(calls, asked, error, message):
    with pytest.raises(error, match=message):
        kpi_sound(calls, settings=FAST, **asked)


def test_sounds_over_30_minutes_are_refused(make_calls):
    calls = make_calls([{"start": f"{year}-01-05T10:00Z"} for year in (2010, 2026)])
    with pytest.raises(ValueError, match="more than 30 minutes"):
        kpi_sound(calls, grain="day", settings=FAST)


def test_one_call_only_is_one_note(make_calls):
    sound = kpi_sound(make_calls([{"start": "2026-01-05T10:00Z"}]), agent_id="A01", settings=FAST)
    assert of_voice(sound, "A01")["note"].notna().sum() == 1


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        ({"aht_range_s": (5, 5)}, "must be ascending"),
        ({"lowest_note": 61, "highest_note": 62}, "no two notes of C major_pentatonic"),
        ({"scale": "blues"}, "chromatic"),
        ({"beat": 1}, "Extra inputs"),
        ({"angry_as": "both"}, "'angry_as' is now 'anger_cue'; rename it"),
        ({"lowest": 48}, "'lowest' is now 'lowest_note'"),
    ],
)
def test_wrong_mappings_are_refused(mapping, message):
    with pytest.raises(ValidationError, match=message):
        SoundMapping(**mapping)

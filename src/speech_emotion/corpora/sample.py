"""The sample corpus: synthetic speech in the file layouts of the four corpora.

It is generated on first use, so that all readers and pipelines run without a download. It contains some
of the defects of real copies.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import soundfile
from pydantic import Field
from tqdm import tqdm

from speech_emotion.config import Settings
from speech_emotion.corpora.entry import CORPORA
from speech_emotion.corpora.ingestion import SYNTHETIC_MARK
from speech_emotion.corpora.voice import Speaker, speak
from speech_emotion.runtime import replacing_folder

__all__ = ["SampleSettings", "sample_recordings", "write_sample"]

WORDS: Final = [
    "back",
    "bar",
    "base",
    "bath",
    "bean",
    "beg",
    "bite",
    "boat",
    "bone",
    "book",
    "bought",
    "burn",
]
SAVEE_CODES: Final = {
    "a": "angry",
    "d": "disgust",
    "f": "fearful",
    "h": "happy",
    "n": "neutral",
    "sa": "sad",
    "su": "surprised",
}
CREMA_D_CODES: Final = {
    "ANG": "angry",
    "DIS": "disgust",
    "FEA": "fearful",
    "HAP": "happy",
    "NEU": "neutral",
    "SAD": "sad",
}
POINTER: Final = (
    "version https://git-lfs.github.com/spec/v1\n"
    "oid sha256:0000000000000000000000000000000000000000000000000000000000000000\n"
    "size 72288\n"
)


class SampleSettings(Settings):
    """Size of the sample corpus.

    Attributes:
        ravdess_actors: Speakers in the layout of RAVDESS, 8 emotions each.
        ravdess_statements: Statements per speaker and emotion.
        tess_words: Words of the two speakers in the layout of TESS, 7 emotions each.
        savee_speakers: Speakers in the layout of SAVEE, 7 emotions each.
        savee_sentences: Sentences per speaker and emotion.
        crema_d_speakers: Speakers in the layout of CREMA-D, 6 emotions each.
        crema_d_sentences: Sentences per speaker and emotion.
    """

    ravdess_actors: int = Field(6, ge=0, le=24)
    ravdess_statements: int = Field(2, ge=1, le=2)
    tess_words: int = Field(6, ge=0, le=len(WORDS))
    savee_speakers: int = Field(4, ge=0, le=4)
    savee_sentences: int = Field(3, ge=1, le=15)
    crema_d_speakers: int = Field(8, ge=0, le=91)
    crema_d_sentences: int = Field(2, ge=1, le=12)


class _Recording(NamedTuple):
    path: str
    sample_rate: int
    speaker: Speaker
    emotion: str
    statement: str


def sample_recordings(settings: SampleSettings) -> Iterator[_Recording]:
    """List the recordings: path below the corpora folder, rate, speaker, emotion, statement."""
    for actor in range(1, settings.ravdess_actors + 1):
        speaker = Speaker(f"ravdess {actor}", "male" if actor % 2 else "female")
        for code, emotion in _codes("ravdess", "emotion").items():
            for statement in range(1, settings.ravdess_statements + 1):
                name = f"03-01-{code}-01-{statement:02d}-01-{actor:02d}.wav"
                path = f"ravdess/Actor_{actor:02d}/{name}"
                yield _Recording(path, 48000, speaker, emotion, f"ravdess {statement}")
    # Folder names vary in case and wording, as in the published corpus.
    surprise = {"OAF": "Pleasant_surprise", "YAF": "pleasant_surprised"}
    codes = {"fear": "fearful", "ps": "surprised"}
    for voice in ("OAF", "YAF"):
        for code in ("angry", "disgust", "fear", "happy", "neutral", "ps", "sad"):
            folder = f"{voice}_{surprise[voice] if code == 'ps' else code}"
            for word in WORDS[: settings.tess_words]:
                path = f"tess/{folder}/{voice}_{word}_{code}.wav"
                emotion = codes.get(code, code)
                yield _Recording(path, 24414, Speaker(f"tess {voice}", "female"), emotion, word)
    for initials in ("DC", "JE", "JK", "KL")[: settings.savee_speakers]:
        for code, emotion in SAVEE_CODES.items():
            for sentence in range(1, settings.savee_sentences + 1):
                path = f"savee/AudioData/{initials}/{code}{sentence:02d}.wav"
                speaker = Speaker(f"savee {initials}", "male")
                yield _Recording(path, 44100, speaker, emotion, f"savee {sentence}")
    for number in range(1001, 1001 + settings.crema_d_speakers):
        for code, emotion in CREMA_D_CODES.items():
            for spoken in sorted(_codes("crema_d", "statement"))[: settings.crema_d_sentences]:
                path = f"crema_d/AudioWAV/{number}_{spoken}_{code}_XX.wav"
                speaker = Speaker(f"crema_d {number}", _sex(number))
                yield _Recording(path, 16000, speaker, emotion, spoken)


def _codes(corpus: str, field: str) -> dict[str, str]:
    return CORPORA[corpus].fields[field].codes or {}


def _sex(number: int) -> str:
    return "female" if number % 2 else "male"


def write_sample(folder: Path, settings: SampleSettings, *, progress: bool = True) -> None:
    """Write the sample corpus into ``folder``, unless it is already there.

    Args:
        folder: Folder of the corpora.
        settings: Size of the corpus.
        progress: Show a progress bar.

    Raises:
        FileExistsError: If ``folder`` contains other files.
    """
    mark = (
        "Synthetic speech, generated by the speech-emotion package. Metrics computed on it say nothing\n"
        f"about real speech.\n{settings.model_dump_json()}\n"
    )
    marked = folder / SYNTHETIC_MARK
    if marked.exists() and marked.read_text() == mark:
        return
    if folder.exists() and any(folder.iterdir()) and not marked.exists():
        raise FileExistsError(f"{folder} contains files that are not the sample corpus; move them")
    recordings = list(sample_recordings(settings))
    with replacing_folder(folder) as partial:
        for recording in tqdm(
            recordings, desc="Generating the sample corpus", disable=None if progress else True
        ):
            path = partial / recording.path
            path.parent.mkdir(parents=True, exist_ok=True)
            samples = speak(*recording[2:], path.name, recording.sample_rate)
            soundfile.write(path, samples, recording.sample_rate, subtype="PCM_16")
        _add_defects(partial, settings)
        (partial / SYNTHETIC_MARK).write_text(mark)


def _add_defects(folder: Path, settings: SampleSettings) -> None:
    """Add a duplicate, a stereo file, silence, a Git LFS pointer and an unknown emotion code."""
    if settings.ravdess_actors:
        actor = folder / "ravdess" / "Actor_01"
        shutil.copy(actor / "03-01-03-01-01-01-01.wav", actor / "03-01-03-01-01-02-01.wav")
        stereo = actor / "03-01-02-01-01-01-01.wav"
        samples, rate = soundfile.read(stereo)
        soundfile.write(stereo, np.stack([samples, samples], axis=1), rate, subtype="PCM_16")
        shutil.copy(stereo, actor / "03-01-09-01-01-01-01.wav")
    if settings.crema_d_speakers:
        recordings = folder / "crema_d" / "AudioWAV"
        soundfile.write(recordings / "1001_MTI_SAD_XX.wav", np.zeros(16000), 16000)
        (recordings / "1001_WSI_DIS_XX.wav").write_text(POINTER)
        numbers = range(1001, 1001 + settings.crema_d_speakers)
        rows = [f"{number},30,{_sex(number).title()},,\n" for number in numbers]
        table = folder / "crema_d" / "VideoDemographics.csv"
        table.write_text("ActorID,Age,Sex,Race,Ethnicity\n" + "".join(rows))

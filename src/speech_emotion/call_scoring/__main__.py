"""Play a recording at real time and print each window as it is finished.

``python -m speech_emotion.call_scoring CALL.wav --model data/06_models/champion``
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from speech_emotion.audio import AudioError
from speech_emotion.call_scoring.recordings import open_recording
from speech_emotion.call_scoring.settings import CallSettings, FlagSettings
from speech_emotion.call_scoring.stream import ChannelStream, ScoredWindow
from speech_emotion.models import EmotionPredictor

PORTION_S = 0.1


def main(arguments: list[str] | None = None) -> None:
    """Play one channel of a recording."""
    parser = argparse.ArgumentParser(
        prog="python -m speech_emotion.call_scoring", description=__doc__
    )
    parser.add_argument("recording", help="path or URL (s3://…)")
    parser.add_argument("--model", type=Path, required=True, help="folder of a predictor")
    parser.add_argument("--channel", type=int, default=0, help="the customer's, from 0")
    parser.add_argument("--speed", type=float, default=1.0, help="times real time; 0: at once")
    parser.add_argument("--threshold", type=float, help="in the place of the model's own")
    options = parser.parse_args(arguments)
    settings = CallSettings(flags=FlagSettings(threshold=options.threshold))
    try:
        predictor = EmotionPredictor.load(options.model)
        for window in _play(options, predictor, settings):
            print(_line(window), flush=True)  # noqa: T201
    except (AudioError, OSError, ValueError) as error:
        parser.error(str(error))


def _play(
    options: argparse.Namespace, predictor: EmotionPredictor, settings: CallSettings
) -> Iterator[ScoredWindow]:
    with open_recording(options.recording) as recording:
        if not 0 <= options.channel < recording.channels:
            said = f"has {recording.channels} channels, numbered from 0: no {options.channel}"
            raise AudioError(options.recording, said)
        stream = ChannelStream(predictor, recording.sample_rate, settings)
        portion = round(PORTION_S * recording.sample_rate)
        begun, heard = time.monotonic(), 0
        for block in recording.blocks():
            for samples in np.split(block[:, options.channel], range(portion, len(block), portion)):
                heard += len(samples)
                if options.speed:
                    due = begun + heard / recording.sample_rate / options.speed
                    time.sleep(max(due - time.monotonic(), 0))
                yield from stream.push(samples)
        yield from stream.close()


def _line(window: ScoredWindow) -> str:
    span = f"{window.start_s:8.1f} - {window.end_s:6.1f} s"
    if window.out_of_domain:
        return f"{span}  not judged: {window.out_of_domain}"
    said = f"{window.emotion:10} {window.confidence:4.0%}  score {window.score:.2f}"
    return f"{span}  {said}{'  FLAG' if window.flagged else ''}"


if __name__ == "__main__":
    main()

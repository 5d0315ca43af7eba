"""The command ``speech-emotion``, also ``python -m speech_emotion``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any


def main(arguments: list[str] | None = None) -> Any:
    """Run a command, see :mod:`speech_emotion.cli`."""
    if not Path("conf/logging.yml").is_file():  # where Kedro looks when it is imported
        logging = Path(__file__).with_name("logging.yml")
        os.environ.setdefault("KEDRO_LOGGING_CONFIG", str(logging))
    from speech_emotion.cli import run_command

    return run_command(arguments)


if __name__ == "__main__":
    main()

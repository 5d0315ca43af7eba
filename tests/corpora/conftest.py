from pathlib import Path

import pytest
import yaml

from speech_emotion.corpora import CorporaSettings

CONFIGURATION = Path(__file__).parents[2] / "conf" / "base" / "ingestion" / "parameters.yml"


@pytest.fixture
def corpora_settings():
    """Build settings from the configuration of the project, with changes."""

    def make(**changes):
        base = yaml.safe_load(CONFIGURATION.read_text())["corpora"]
        return CorporaSettings.model_validate(base | changes)

    return make

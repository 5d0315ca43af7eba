"""HTTP service that scores whole calls. It needs the extra ``service``."""

from speech_emotion.service.app import create_app
from speech_emotion.service.settings import ServiceSettings

__all__ = ["ServiceSettings", "create_app"]

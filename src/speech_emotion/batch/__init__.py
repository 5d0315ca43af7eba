"""The model over a folder of recordings, on many processes or machines, from and to object stores.

``speech-emotion batch`` is the command for it::

    speech-emotion batch RECORDINGS RESULTS --workers 16
    speech-emotion batch s3://bucket/calls s3://bucket/results --scheduler tcp://10.0.0.1:8786
    speech-emotion batch RECORDINGS RESULTS --as utterances

Calls are scored by the steps of the ``call_scoring`` pipeline, a day at a time; utterances are predicted as
a whole, as by the served model. A command that was interrupted goes on where it stopped, and a later one
adds what is new.
"""

from speech_emotion.batch.calls import score_folder
from speech_emotion.batch.utterances import predict_folder

__all__ = ["predict_folder", "score_folder"]

"""The table of recordings, and the one way from a row of it to samples.

A table of recordings is a :class:`pandas.DataFrame` with one row per recording and the columns

``audio``
    a path, or a one-dimensional float array;
``sample_rate`` (Hz)
    required for array rows; for files it is optional and must agree with the file;
``patient``, ``task``
    who was recorded, and what they said; optional until something needs them;
``segments``
    list of ``(start, end)`` in seconds, or None for the whole recording.

Other columns travel along untouched.  A list, a one-dimensional object array or a Series of
paths is accepted wherever neither patient nor task is needed.
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach(
    __name__,
    submod_attrs={
        "_audio": ["RecordingInfo", "describe_recording", "load_waveform", "segments_of"],
        "_cache": ["ArrayStore", "CachedFunction", "RecordingCache", "entry_key", "open_store"],
        "_check": ["ONE_DEFAULT_FRAME", "check_recordings"],
        "_map": ["map_recordings", "map_recordings_to_array", "note_failures", "noted_failures"],
        "_table": ["as_table", "column", "one_label_per_patient", "patient_ids"],
    },
)

"""Audio files in a folder."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

AUDIO_SUFFIXES = (
    *(".wav", ".flac", ".ogg", ".opus", ".mp3", ".aif", ".aiff", ".aifc", ".au", ".w64", ".caf"),
)


def find_audio_files(folder: Path, suffixes: Collection[str] = AUDIO_SUFFIXES) -> list[Path]:
    """Return the audio files in a folder and in those inside it, in order.

    `suffixes` are in lower case, with the dot.  Hidden files are left out: macOS writes one beside
    every file on foreign disks.
    """
    return sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in suffixes and not path.name.startswith(".") and path.is_file()
    )

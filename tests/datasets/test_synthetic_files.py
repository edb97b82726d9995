"""Recordings that the synthetic corpus writes to disk."""

import pytest
import soundfile

from sklearn_dysarthria.datasets import make_dysarthric_speech


def test_interrupted_work_leaves_whole_recordings_only(tmp_path, monkeypatch):
    write, written = soundfile.write, []

    def interrupted(file, *args, **kwargs):
        written.append(file)
        write(file, *args, **kwargs)
        if len(written) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(soundfile, "write", interrupted)
    arguments = {"duration": 0.5, "folder": tmp_path, "random_state": 0}
    with pytest.raises(KeyboardInterrupt):
        make_dysarthric_speech(2, tasks=["phonationA", "rhythmPA"], **arguments)
    assert [path.name for path in tmp_path.iterdir()] == ["S001_phonationA.wav"]
    assert (tmp_path / "S001_phonationA.wav").stat().st_mode & 0o444

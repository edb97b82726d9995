"""Corpora on macOS and Windows, whose differences from Linux are simulated."""

import functools
import hashlib
import http.server
import subprocess
import sys
import threading

# What only POSIX or Linux has is hidden before anything is imported.
HIDDEN = """
import os, sys
for name in ("fcntl", "grp", "pwd", "resource", "termios"):
    sys.modules[name] = None
for name in ("fork", "forkpty", "memfd_create", "posix_fallocate", "pwrite"):
    if hasattr(os, name):
        delattr(os, name)
"""
LOAD = """
import csv
from pathlib import Path
from sklearn_dysarthria import (
    fetch_minsk2020_als, load_recordings, load_sand, load_voc_als, make_dysarthric_speech)
home = Path(sys.argv[1])
X, y = make_dysarthric_speech(
    2, tasks="phonationA", duration=0.5, folder=home / "wav", random_state=0)
X.assign(label=y).to_csv(home / "study.csv", index=False)
assert len(load_recordings(home / "study.csv", target="label").data) == 2
assert len(load_voc_als(sys.argv[2]).data) == 80
assert len(load_sand(sys.argv[3]).data) == 80
from sklearn_dysarthria.datasets._download import download_files
url, path, sha256 = sys.argv[4:]
download_files(home, {path: sha256}, [url])
assert (home / path).is_file()
"""


def test_nothing_of_posix_is_needed(tmp_path, voc_als_home, sand_home):
    (tmp_path / "mirror").mkdir()
    (tmp_path / "mirror" / "a.wav").write_bytes(b"RIFF")
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=tmp_path / "mirror")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        download = [url, "a.wav", hashlib.sha256(b"RIFF").hexdigest()]
        places = map(str, (tmp_path, voc_als_home, sand_home))
        done = subprocess.run(
            [sys.executable, "-c", HIDDEN + LOAD, *places, *download],
            capture_output=True,
            text=True,
            check=False,
        )
        server.shutdown()
    assert done.returncode == 0, done.stderr

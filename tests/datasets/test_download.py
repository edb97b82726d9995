import hashlib
import http.server
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import requests

from sklearn_dysarthria.datasets import _download
from sklearn_dysarthria.datasets._download import (
    Corpus,
    download_files,
    get_data_home,
    obtain_corpus,
    verify_file,
)
from sklearn_dysarthria.exceptions import CorpusNotFoundError

BIG = bytes(range(256)) * 2048  # several chunks
FILES = {"ALS/001 a.wav": BIG, "table.csv": b"a,b\n1,2\n"}


def sha256(content):
    return hashlib.sha256(content).hexdigest()


REGISTRY = {path: sha256(content) for path, content in FILES.items()}
BIG_FILE = "ALS/001 a.wav"


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves ``server.files``, as badly as the server's attributes ask for."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        server = self.server
        asked = self.headers.get("Range")
        with server.lock:
            server.requests.append((self.path, asked))
            dies = server.deaths > 0
            server.deaths -= dies
            fails = server.failures > 0
            server.failures -= fails
        content = server.files.get(self.path.lstrip("/").replace("%20", " "))
        if fails or content is None:
            return self.send_error(503 if fails else 404)
        start = int(asked[len("bytes=") : -1]) if asked and server.ranges else 0
        if start >= len(content):
            return self.send_error(416)
        self.send_response(206 if start else 200)
        if start:
            told = start + server.lies
            self.send_header("Content-Range", f"bytes {told}-{len(content) - 1}/{len(content)}")
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        body = content[start:]
        time.sleep(server.pause)
        self.wfile.write(body[: 3 * len(body) // 4] if dies else body)
        self.close_connection = bool(dies)
        return None

    def log_message(self, *args):
        pass


@pytest.fixture
def serve():
    servers = []

    def start(files=FILES, *, ranges=True, deaths=0, failures=0, lies=0, pause=0.0):
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.files, server.ranges, server.lies, server.pause = files, ranges, lies, pause
        server.deaths, server.failures = deaths, failures
        server.requests, server.lock = [], threading.Lock()
        server.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        servers.append((server, thread))
        return server

    yield start
    for server, thread in servers:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def absent():
    """URL where nobody listens."""
    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    server.server_close()
    return f"http://127.0.0.1:{server.server_port}"


def get(folder, *urls, registry=REGISTRY, **options):
    download_files(urls, registry, folder, **{"delay": 0.01, "timeout": 5.0} | options)


def assert_complete(folder):
    found = {str(p.relative_to(folder)): p for p in folder.rglob("*") if p.is_file()}
    assert set(found) == set(FILES)
    assert all(found[path].read_bytes() == content for path, content in FILES.items())


def part_of(folder):
    return folder / f"{BIG_FILE}.part"


def leave_part(folder, content):
    part_of(folder).parent.mkdir(parents=True)
    part_of(folder).write_bytes(content)


def test_downloads_everything(tmp_path, serve):
    server = serve()
    get(tmp_path / "new" / "folder", server.url + "/")
    assert_complete(tmp_path / "new" / "folder")
    assert [path for path, _ in server.requests] == ["/ALS/001%20a.wav", "/table.csv"]


def test_finished_files_are_kept(tmp_path, serve):
    server = serve()
    (tmp_path / "table.csv").write_bytes(FILES["table.csv"])
    get(tmp_path, server.url)
    assert_complete(tmp_path)
    assert len(server.requests) == 1
    get(tmp_path, server.url)
    assert len(server.requests) == 1


def test_resumes_where_the_server_allows_it(tmp_path, serve):
    server = serve()
    leave_part(tmp_path, BIG[:100_000])
    get(tmp_path, server.url)
    assert_complete(tmp_path)
    assert server.requests[0][1] == "bytes=100000-"


@pytest.mark.parametrize("options", [{"ranges": False}, {"lies": 1}])
def test_starts_afresh_where_the_server_cannot_resume(tmp_path, serve, options):
    server = serve(**options)
    leave_part(tmp_path, BIG[:100_000])
    get(tmp_path, server.url)
    assert_complete(tmp_path)


@pytest.mark.parametrize(
    "part", [b"x" * 100_000, BIG + b"x", BIG[:-1] + b"x"], ids=["other", "too long", "bad end"]
)
def test_part_of_something_else_is_dropped(tmp_path, serve, part):
    leave_part(tmp_path, part)
    get(tmp_path, serve().url, n_retries=0)
    assert_complete(tmp_path)


def test_complete_part_needs_no_server(tmp_path, absent):
    leave_part(tmp_path, BIG)
    (tmp_path / "table.csv").write_bytes(FILES["table.csv"])
    get(tmp_path, absent)
    assert_complete(tmp_path)


def test_death_in_mid_file_is_retried_by_resuming(tmp_path, serve):
    server = serve(deaths=2)
    get(tmp_path, server.url)
    assert_complete(tmp_path)
    assert [bool(asked) for _, asked in server.requests[:3]] == [False, True, True]


def test_what_a_dead_server_sent_stays_for_next_time(tmp_path, serve):
    server = serve(deaths=1)
    with pytest.raises(CorpusNotFoundError, match="broke in mid file"):
        get(tmp_path, server.url, n_retries=0)
    assert not (tmp_path / BIG_FILE).exists()
    assert 0 < part_of(tmp_path).stat().st_size < len(BIG)
    get(tmp_path, server.url)
    assert_complete(tmp_path)
    assert server.requests[1][1] is not None


def test_ctrl_c_leaves_nothing_under_the_final_name(tmp_path, serve, monkeypatch):
    whole = requests.Response.iter_content

    def interrupted(self, size):
        yield next(whole(self, size))
        raise KeyboardInterrupt

    server = serve()
    with monkeypatch.context() as patch:
        patch.setattr(requests.Response, "iter_content", interrupted)
        with pytest.raises(KeyboardInterrupt):
            get(tmp_path, server.url)
    assert not (tmp_path / BIG_FILE).exists()
    assert part_of(tmp_path).read_bytes() == BIG[: 1 << 16]
    get(tmp_path, server.url)
    assert_complete(tmp_path)


def test_server_failures_are_retried_and_missing_files_are_not(tmp_path, serve):
    server = serve(failures=2)
    get(tmp_path, server.url)
    assert_complete(tmp_path)
    empty = serve(files={})
    with pytest.raises(CorpusNotFoundError, match="the server answers 404 Not Found"):
        get(tmp_path / "other", empty.url)
    assert len(empty.requests) == 1


def test_mirrors_are_tried_in_order(tmp_path, serve, absent):
    wrong, good = serve(files=dict.fromkeys(FILES, b"moved")), serve()
    get(tmp_path, absent, wrong.url, good.url)
    assert_complete(tmp_path)
    assert len(wrong.requests) == len(good.requests) == 2


def test_second_mirror_continues_what_the_first_began(tmp_path, serve):
    first, second = serve(deaths=1), serve()
    get(tmp_path, first.url, second.url, n_retries=0)
    assert_complete(tmp_path)
    assert second.requests[0][1] is not None


def test_wrong_bytes(tmp_path, serve):
    server = serve(files=dict.fromkeys(FILES, b"a login page"))
    with pytest.raises(CorpusNotFoundError) as caught:
        get(tmp_path, server.url)
    message = str(caught.value)
    assert f"SHA-256 {sha256(b'a login page')} instead of {REGISTRY[BIG_FILE]}" in message
    assert f"{server.url}/ALS/001%20a.wav" in message
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == []
    assert len(server.requests) == 1


def test_nobody_listens(tmp_path, absent):
    with pytest.raises(CorpusNotFoundError, match="no connection") as caught:
        get(tmp_path, absent)
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == []


def test_silent_server(tmp_path, serve):
    with pytest.raises(CorpusNotFoundError, match="does not answer in time"):
        get(tmp_path, serve(pause=0.5).url, timeout=0.1, n_retries=0)


@pytest.mark.parametrize("with_locks", [True, False])
def test_threads_do_not_disturb_each_other(tmp_path, serve, monkeypatch, with_locks):
    if not with_locks:
        monkeypatch.setattr(_download, "_open_locked", lambda part: None)
    server = serve(pause=0.05)
    threads = [threading.Thread(target=get, args=(tmp_path, server.url)) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert_complete(tmp_path)
    if with_locks:
        assert len(server.requests) == len(FILES)


def test_file_system_without_locks(tmp_path, serve, monkeypatch):
    import fcntl

    def refuse(*args):
        raise OSError("no locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    get(tmp_path, serve().url)
    assert_complete(tmp_path)


CHILD = """
import sys
from pathlib import Path
from sklearn_dysarthria.datasets._download import download_files
url, folder, path, sha256 = sys.argv[1:]
download_files([url], {path: sha256}, Path(folder), n_retries=0)
"""


def child(url, folder):
    arguments = [url, str(folder), BIG_FILE, REGISTRY[BIG_FILE]]
    return subprocess.Popen([sys.executable, "-c", CHILD, *arguments])


def test_processes_take_turns_and_a_killed_one_blocks_nobody(tmp_path, serve):
    stuck = serve(pause=5.0)
    victim = child(stuck.url, tmp_path)
    while not stuck.requests:
        time.sleep(0.02)
    server = serve(pause=0.2)
    others = [child(server.url, tmp_path) for _ in range(2)]
    time.sleep(0.1)
    victim.kill()
    victim.wait()
    assert [process.wait(timeout=30) for process in others] == [0, 0]
    assert [path.name for path in (tmp_path / "ALS").iterdir()] == ["001 a.wav"]
    assert (tmp_path / BIG_FILE).read_bytes() == BIG
    assert len(server.requests) == 1


def test_progress_bars(tmp_path, serve, capsys):
    get(tmp_path / "quiet", serve().url)
    assert capsys.readouterr().err == ""
    get(tmp_path / "corpus", serve().url, verbose=1)
    told = capsys.readouterr().err
    assert "corpus" in told
    assert "table.csv" in told


def test_verify_file(tmp_path):
    path = tmp_path / "a.wav"
    path.write_bytes(b"edited")
    verify_file(path, sha256(b"edited"))
    with pytest.raises(OSError, match=r"a\.wav' is not the published file") as caught:
        verify_file(path, sha256(b"original"))
    assert not isinstance(caught.value, FileNotFoundError)
    assert path.exists()


def test_data_home(tmp_path, monkeypatch):
    monkeypatch.setenv("SKLEARN_DYSARTHRIA_DATA", str(tmp_path / "env"))
    assert get_data_home() == tmp_path / "env"
    assert get_data_home(tmp_path / "argument") == tmp_path / "argument"
    assert not (tmp_path / "env").exists()
    monkeypatch.chdir(tmp_path)
    assert get_data_home("relative") == tmp_path / "relative"
    assert get_data_home("~/x") == Path(os.path.expanduser("~/x"))
    monkeypatch.setenv("SKLEARN_DYSARTHRIA_DATA", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert get_data_home().name == "sklearn_dysarthria"


def make_corpus(*urls):
    return Corpus("Tiny corpus", "tiny", "table.csv", REGISTRY, urls, "http://example.org/x.zip")


def obtain(corpus, home, *, download=True):
    return obtain_corpus(
        corpus, list(FILES), data_home=home, download_if_missing=download, verbose=0
    )


def test_obtain_downloads_once(tmp_path, serve):
    server = serve()
    corpus = make_corpus(server.url)
    assert obtain(corpus, tmp_path) == tmp_path / "tiny"
    assert obtain(corpus, tmp_path, download=False) == tmp_path / "tiny"
    assert len(server.requests) == 2


def test_obtain_accepts_the_corpus_itself(tmp_path, serve):
    obtain(make_corpus(serve().url), tmp_path)
    home = tmp_path / "tiny"
    assert obtain(make_corpus(), home, download=False) == home


def test_obtain_tells_what_is_missing_and_how_to_get_it(tmp_path, absent):
    with pytest.raises(CorpusNotFoundError) as caught:
        obtain(make_corpus(absent), tmp_path, download=False)
    message = str(caught.value)
    for told in (
        f"The Tiny corpus is not complete in '{tmp_path / 'tiny'}': 2 of 2 files are missing",
        "download_if_missing=False",
        "http://example.org/x.zip",
        f"'{tmp_path / 'tiny' / BIG_FILE}' exists",
        "SKLEARN_DYSARTHRIA_DATA",
    ):
        assert told in message
    assert not (tmp_path / "tiny").exists()


def test_obtain_offline(tmp_path, absent, monkeypatch):
    monkeypatch.setattr(_download.time, "sleep", lambda seconds: None)
    with pytest.raises(CorpusNotFoundError) as caught:
        obtain(make_corpus(absent), tmp_path)
    for told in ("2 of 2 files", "no connection", "To get it by hand", "unpack it so that"):
        assert told in str(caught.value)


def test_obtain_refuses_a_changed_file_and_keeps_it(tmp_path, serve):
    corpus = make_corpus(serve().url)
    (tmp_path / "tiny").mkdir()
    (tmp_path / "tiny" / "table.csv").write_text("mine")
    with pytest.raises(OSError, match=r"table\.csv' is not the published file"):
        obtain(corpus, tmp_path)
    assert (tmp_path / "tiny" / "table.csv").read_text() == "mine"

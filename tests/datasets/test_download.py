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

from sklearn_dysarthria.datasets._download import (
    DownloadError,
    check_sha256,
    download_files,
    obtain_files,
)
from sklearn_dysarthria.datasets._folders import get_data_home
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
        with server.lock:
            server.requests.append(self.path)
            dies = server.deaths > 0
            server.deaths -= dies
            fails = server.failures > 0
            server.failures -= fails
        content = server.files.get(self.path.lstrip("/").replace("%20", " "))
        if fails or content is None:
            return self.send_error(503 if fails else 404)
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        time.sleep(server.pause)
        try:
            self.wfile.write(content[: 3 * len(content) // 4] if dies else content)
        except ConnectionError:
            self.close_connection = True  # the client has gone
        self.close_connection |= bool(dies)
        return None

    def log_message(self, *args):
        pass


@pytest.fixture
def serve():
    servers = []

    def start(files=FILES, *, deaths=0, failures=0, pause=0.0):
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.files, server.pause = files, pause
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
    """URL at which no server listens."""
    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    server.server_close()
    return f"http://127.0.0.1:{server.server_port}"


def get(folder, *urls, registry=REGISTRY, **options):
    download_files(folder, registry, urls, **{"delay": 0.01, "timeout": 5.0} | options)


def files_in(folder):
    return {p.relative_to(folder).as_posix(): p for p in folder.rglob("*") if p.is_file()}


def assert_complete(folder):
    found = files_in(folder)
    assert set(found) == set(FILES)
    assert all(found[path].read_bytes() == content for path, content in FILES.items())


def test_downloads_everything(tmp_path, serve):
    server = serve()
    get(tmp_path / "new" / "folder", server.url + "/")
    assert_complete(tmp_path / "new" / "folder")
    assert server.requests == ["/ALS/001%20a.wav", "/table.csv"]


def test_finished_files_are_kept(tmp_path, serve):
    server = serve()
    (tmp_path / "table.csv").write_bytes(FILES["table.csv"])
    get(tmp_path, server.url)
    assert_complete(tmp_path)
    assert len(server.requests) == 1
    get(tmp_path, server.url)
    assert len(server.requests) == 1


def test_files_in_capitals_are_not_downloaded_again(tmp_path, serve):
    """Windows and macOS may list files in another case than the one they were published in."""
    (tmp_path / "als").mkdir()
    (tmp_path / "als" / "001 A.WAV").write_bytes(BIG)
    server = serve()
    get(tmp_path, server.url)
    assert server.requests == ["/table.csv"]


def test_broken_connection_is_tried_again(tmp_path, serve):
    server = serve(deaths=2)
    get(tmp_path, server.url)
    assert_complete(tmp_path)
    assert len(server.requests) == 4


def test_broken_connection_leaves_nothing(tmp_path, serve):
    server = serve(deaths=1)
    with pytest.raises(DownloadError, match="broke in mid file"):
        get(tmp_path, server.url, n_retries=0)
    assert files_in(tmp_path) == {}
    get(tmp_path, server.url)
    assert_complete(tmp_path)


def test_ctrl_c_leaves_nothing(tmp_path, serve, monkeypatch):
    whole = requests.Response.iter_content

    def interrupted(self, chunk_size):
        yield next(whole(self, chunk_size))
        raise KeyboardInterrupt

    server = serve()
    with monkeypatch.context() as patch:
        patch.setattr(requests.Response, "iter_content", interrupted)
        with pytest.raises(KeyboardInterrupt):
            get(tmp_path, server.url)
    assert files_in(tmp_path) == {}
    get(tmp_path, server.url)
    assert_complete(tmp_path)


def test_server_failures_are_retried_and_missing_files_are_not(tmp_path, serve):
    server = serve(failures=2)
    get(tmp_path, server.url)
    assert_complete(tmp_path)
    empty = serve(files={})
    with pytest.raises(DownloadError, match="the server answers 404 Not Found"):
        get(tmp_path / "other", empty.url)
    assert len(empty.requests) == 1


def test_mirrors_are_tried_in_order(tmp_path, serve, absent):
    wrong, dying, good = serve(files=dict.fromkeys(FILES, b"moved")), serve(deaths=9), serve()
    get(tmp_path, absent, wrong.url, dying.url, good.url, n_retries=1)
    assert_complete(tmp_path)
    assert len(wrong.requests) == len(good.requests) == 2
    assert len(dying.requests) == 4


def test_wrong_bytes(tmp_path, serve):
    server = serve(files=dict.fromkeys(FILES, b"a login page"))
    with pytest.raises(DownloadError) as caught:
        get(tmp_path, server.url)
    message = str(caught.value)
    assert f"SHA-256 {sha256(b'a login page')} instead of {REGISTRY[BIG_FILE]}" in message
    assert f"{server.url}/ALS/001%20a.wav" in message
    assert files_in(tmp_path) == {}
    assert len(server.requests) == 1


def test_no_server(tmp_path, absent):
    with pytest.raises(DownloadError, match="no connection") as caught:
        get(tmp_path, absent)
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None
    assert files_in(tmp_path) == {}


def test_silent_server(tmp_path, serve):
    with pytest.raises(DownloadError, match="does not answer in time"):
        get(tmp_path, serve(pause=0.5).url, timeout=0.1, n_retries=0)


def test_threads_do_not_disturb_each_other(tmp_path, serve):
    server = serve(pause=0.05)
    threads = [threading.Thread(target=get, args=(tmp_path, server.url)) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert_complete(tmp_path)


def test_file_that_another_process_has_finished_and_opened(tmp_path, serve, monkeypatch):
    """Windows does not replace open files."""

    def fail(source, target):
        raise PermissionError(13, "the file is open in another process", target)

    server = serve()
    for content, complete in ((BIG, True), (b"mine", False)):
        folder = tmp_path / str(complete)

        def written_meanwhile(source, target, content=content):
            if Path(target).name == "001 a.wav":
                Path(target).write_bytes(content)
                fail(source, target)
            Path(source).rename(target)

        monkeypatch.setattr(os, "replace", written_meanwhile)
        if complete:
            get(folder, server.url)
            assert_complete(folder)
        else:
            with pytest.raises(PermissionError, match="open in another process"):
                get(folder, server.url)
            assert set(files_in(folder)) == {BIG_FILE}


CHILD = """
import sys
from pathlib import Path
from sklearn_dysarthria.datasets._download import download_files
url, folder, path, sha256 = sys.argv[1:]
download_files(Path(folder), {path: sha256}, [url], n_retries=0)
"""


def test_killed_process_leaves_nothing_under_a_published_name(tmp_path, serve):
    stuck = serve(pause=2.0)
    arguments = [stuck.url, str(tmp_path), BIG_FILE, REGISTRY[BIG_FILE]]
    process = subprocess.Popen([sys.executable, "-c", CHILD, *arguments])
    while not stuck.requests and process.poll() is None:
        time.sleep(0.02)
    process.kill()
    assert process.wait() < 0
    assert not (tmp_path / BIG_FILE).exists()
    get(tmp_path, serve().url)
    visible = {path for path in files_in(tmp_path) if not Path(path).name.startswith(".")}
    assert visible == set(FILES)
    assert (tmp_path / BIG_FILE).read_bytes() == BIG


def test_progress_bars(tmp_path, serve, capsys):
    get(tmp_path / "quiet", serve().url)
    assert capsys.readouterr().err == ""
    get(tmp_path / "corpus", serve(pause=0.3).url, verbose=1)
    shown = capsys.readouterr().err
    assert "corpus" in shown
    assert "table.csv" in shown
    assert "/524k" in shown


def test_new_files_are_for_everyone_whom_the_folder_is_for(tmp_path, serve):
    get(tmp_path, serve().url)
    (tmp_path / "own").touch()
    assert (tmp_path / BIG_FILE).stat().st_mode == (tmp_path / "own").stat().st_mode


def test_check_sha256(tmp_path):
    path = tmp_path / "a.wav"
    path.write_bytes(b"edited")
    check_sha256(path, sha256(b"edited"))
    with pytest.raises(OSError, match=r"a\.wav' is not the published file") as caught:
        check_sha256(path, sha256(b"original"))
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


def obtain(folder, *urls, download=True):
    return obtain_files(
        folder,
        list(FILES),
        lambda: get(folder, *urls),
        title="Tiny corpus",
        by_hand="download http://example.org/x.zip",
        download_if_missing=download,
    )


def test_obtain_downloads_once(tmp_path, serve):
    server = serve()
    expected = {path: tmp_path / path for path in FILES}
    assert obtain(tmp_path, server.url) == expected
    assert obtain(tmp_path, download=False) == expected
    assert len(server.requests) == 2


@pytest.mark.parametrize("download", [True, False])
def test_obtain_names_what_is_missing_and_how_to_get_it(tmp_path, absent, download):
    folder = tmp_path / "tiny"
    with pytest.raises(CorpusNotFoundError) as caught:
        obtain(folder, absent, download=download)
    message = str(caught.value)
    for expected in (
        f"The Tiny corpus is not complete in '{folder}': 2 of 2 files are missing",
        f"the first is '{BIG_FILE}'",
        "no connection" if download else "download_if_missing=False",
        "To get it by hand, download http://example.org/x.zip",
        "SKLEARN_DYSARTHRIA_DATA",
    ):
        assert expected in message
    assert caught.value.__context__ is None
    assert files_in(tmp_path) == {}


def test_obtain_without_what_the_source_lacks(tmp_path):
    with pytest.raises(CorpusNotFoundError, match=r"The source does not have 'table\.csv'"):
        obtain_files(
            tmp_path,
            ["table.csv"],
            lambda: None,
            title="Tiny corpus",
            by_hand="do",
            download_if_missing=True,
        )

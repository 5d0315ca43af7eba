import io
import threading
import zipfile
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from speech_emotion.corpora import DownloadError, DownloadSettings, download_corpora
from speech_emotion.corpora.download import unpack


class _Handler(SimpleHTTPRequestHandler):
    """Serve a folder; transfers of files in ``broken`` stop in the middle."""

    broken: set[str] = set()  # noqa: RUF012
    served: list[str] = []  # noqa: RUF012

    def do_GET(self):
        name = self.path.rsplit("/", 1)[-1]
        self.served.append(name)
        if name not in self.broken:
            super().do_GET()
            return
        content = Path(self.translate_path(self.path)).read_bytes()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[: len(content) // 2])
        self.close_connection = True

    def log_message(self, *_):
        return


@pytest.fixture
def server(tmp_path):
    folder = tmp_path / "served"
    folder.mkdir()
    _Handler.broken, _Handler.served = set(), []
    handler = partial(_Handler, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as httpd:
        thread = threading.Thread(target=httpd.serve_forever)
        thread.start()
        httpd.folder = folder
        httpd.address = f"http://127.0.0.1:{httpd.server_port}"
        yield httpd
        httpd.shutdown()
        thread.join()


def zipped(entries):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return buffer.getvalue()


@pytest.fixture
def published(server, tmp_path):
    """Settings to download two small corpora, which are published in both ways."""
    content = zipped({"Actor_01/03-01-01-01-01-01-01.wav": b"sound" * 1000})
    (server.folder / "ravdess.zip").write_bytes(content)
    names = ["1001_DFA_ANG_XX", "1001_DFA_SAD_XX"]
    (server.folder / "index.csv").write_text("Stimulus,Filename\n1," + "\n2,".join(names) + "\n")
    (server.folder / "VideoDemographics.csv").write_text("ActorID,Sex\n1001,Male\n")
    for name in names:
        (server.folder / f"{name}.wav").write_bytes(b"RIFF" + name.encode() * 500)

    def settings(limits=None, **changes):
        archive = {"url": f"{server.address}/ravdess.zip", "size": len(content)} | changes
        listing = {
            "index_url": f"{server.address}/index.csv",
            "column": "Filename",
            "file_url": server.address + "/{name}.wav",
            "extra_urls": [f"{server.address}/VideoDemographics.csv"],
        }
        return DownloadSettings.model_validate(
            {
                "folder": tmp_path / "raw",
                "archives": {"ravdess": archive},
                "file_lists": {"crema_d": listing},
            }
            | (limits or {})
        )

    return settings


def fetch(settings):
    return download_corpora(settings, progress=False).set_index("corpus")


def test_corpora_are_downloaded_once_and_unpacked(server, published, tmp_path):
    report = fetch(published())
    assert report.loc[["ravdess", "crema_d"], "status"].tolist() == ["downloaded"] * 2
    # One recording in the archive; two recordings, their index and the demographics.
    assert report.loc[["ravdess", "crema_d"], "files"].tolist() == [1, 4]
    assert report.loc["ravdess", "bytes"] == 5000
    assert report.loc["ravdess", "folder"] == str(tmp_path / "raw/ravdess")
    assert (tmp_path / "raw/ravdess/Actor_01/03-01-01-01-01-01-01.wav").stat().st_size == 5000
    assert (tmp_path / "raw/crema_d/1001_DFA_SAD_XX.wav").read_bytes().startswith(b"RIFF1001")
    assert (tmp_path / "raw/crema_d/VideoDemographics.csv").exists()
    assert report.loc["savee", "status"] == "by hand"
    assert "registration" in report.loc["savee", "note"]
    server.RequestHandlerClass.func.served.clear()
    assert fetch(published()).loc["ravdess", "status"] == "present"
    assert server.RequestHandlerClass.func.served == []


@pytest.mark.parametrize(
    ("changes", "note"),
    [
        ({"hash": "md5:" + "0" * 32}, "hash"),
        ({"size": 7}, "instead of 7"),
        ({"recordings": 2}, "1 recordings instead of 2"),
    ],
)
def test_wrong_content_is_not_kept(published, tmp_path, changes, note):
    report = fetch(published(**changes))
    assert report.loc["ravdess", "status"] == "failed"
    assert note in report.loc["ravdess", "note"]
    assert not (tmp_path / "raw/ravdess").exists()
    assert not (tmp_path / "raw/ravdess.zip").exists()
    assert report.loc["crema_d", "status"] == "downloaded"
    assert fetch(published()).loc["ravdess", "status"] == "downloaded"


def test_interrupted_transfers_leave_no_partial_file_and_are_resumed(server, published, tmp_path):
    server.RequestHandlerClass.func.broken = {"ravdess.zip", "1001_DFA_SAD_XX.wav"}
    report = fetch(published())
    assert (report.loc[["ravdess", "crema_d"], "status"] == "failed").all()
    assert not (tmp_path / "raw/ravdess.zip").exists()
    assert not (tmp_path / "raw/crema_d/1001_DFA_SAD_XX.wav").exists()
    assert (tmp_path / "raw/crema_d/1001_DFA_ANG_XX.wav").exists()
    server.RequestHandlerClass.func.broken = set()
    server.RequestHandlerClass.func.served.clear()
    report = fetch(published())
    assert (report.loc[["ravdess", "crema_d"], "status"] == "downloaded").all()
    assert "1001_DFA_ANG_XX.wav" not in server.RequestHandlerClass.func.served


def test_files_from_elsewhere_are_kept(server, published, tmp_path):
    for name in ("ravdess", "savee"):
        (tmp_path / "raw" / name).mkdir(parents=True)
        (tmp_path / "raw" / name / "mine.wav").write_text("mine")
    report = fetch(published())
    assert report.loc[["ravdess", "savee"], "status"].tolist() == ["present"] * 2
    assert "by hand" in report.loc["savee", "note"]
    assert (tmp_path / "raw/ravdess/mine.wav").read_text() == "mine"
    assert "ravdess.zip" not in server.RequestHandlerClass.func.served
    archive = server.folder / "ravdess.zip"
    with pytest.raises(OSError, match="ravdess"):
        unpack(archive, tmp_path / "raw" / "ravdess")
    assert (tmp_path / "raw/ravdess/mine.wav").exists()


def test_invalid_archives_are_downloaded_again(server, published, tmp_path):
    good = (server.folder / "ravdess.zip").read_bytes()
    (server.folder / "ravdess.zip").write_bytes(b"<html>Busy</html>".ljust(len(good)))
    assert fetch(published()).loc["ravdess", "status"] == "failed"
    (server.folder / "ravdess.zip").write_bytes(good)
    assert fetch(published()).loc["ravdess", "status"] == "downloaded"


def test_unreachable_addresses_are_reported(published, tmp_path):
    report = fetch(published(url="http://127.0.0.1:9/ravdess.zip"))
    assert report.loc["ravdess", "status"] == "failed"
    assert report.loc["crema_d", "status"] == "downloaded"


@pytest.mark.parametrize(
    "name", ["../outside.txt", "/abs.txt", "a/../../b.txt", "C:/x.txt", "..\\x", "."]
)
def test_archives_cannot_leave_their_folder(tmp_path, name):
    archive = tmp_path / "evil.zip"
    archive.write_bytes(zipped({"fine.txt": "x", name: "evil"}))
    with pytest.raises(DownloadError, match="outside of the folder"):
        unpack(archive, tmp_path / "in" / "corpus")
    assert not list(tmp_path.rglob("*.txt"))


def test_links_in_archives_are_refused(tmp_path):
    archive = tmp_path / "evil.zip"
    with zipfile.ZipFile(archive, "w") as file:
        entry = zipfile.ZipInfo("link")
        entry.external_attr = 0o120777 << 16
        file.writestr(entry, "/etc/passwd")
    with pytest.raises(DownloadError, match="outside of the folder"):
        unpack(archive, tmp_path / "corpus")


@pytest.mark.parametrize(
    ("listing", "note"),
    [
        ("Stimulus,Filename\n1,../../evil\n", "'../../evil', which is not a file name"),
        ("Stimulus,Filename\n1\n", "which is not a file name, in column 'Filename'"),
        ("Stimulus,Renamed\n1,1001_DFA_ANG_XX\n", "which is not a file name, in column 'Filename'"),
        ("<html>Busy</html>", "sent a page instead of the file"),
        ("", "sent nothing"),
        ("Stimulus,Filename\n", "lists no file in column 'Filename'"),
        ("Stimulus,Filename\n1,\xff\xfe\n", "can't decode"),
        ("Stimulus,Filename\n1," + "x" * 140_000 + "\n", "field larger than field limit"),
    ],
)
def test_invalid_indexes_are_refused_and_downloaded_again(
    server, published, tmp_path, listing, note
):
    good = (server.folder / "index.csv").read_text()
    (server.folder / "index.csv").write_text(listing, encoding="latin-1")
    report = fetch(published())
    assert report.loc["crema_d", "status"] == "failed"
    assert note in report.loc["crema_d", "note"]
    (server.folder / "index.csv").write_text(good)
    assert fetch(published()).loc["crema_d", "status"] == "downloaded"


@pytest.mark.parametrize(
    ("limits", "note"),
    [
        ({"max_bytes": 200_000}, "sends more than the limit of 200000 bytes; set max_bytes"),
        (
            {"max_unpacked_bytes": 1_000_000},
            "unpacks to 3000000 bytes, more than the limit of 1000000",
        ),
    ],
)
def test_transfers_and_archives_have_limits(server, published, tmp_path, limits, note):
    content = zipped({"Actor_01/a.wav": bytes(3_000_000)})  # stored
    (server.folder / "ravdess.zip").write_bytes(content)
    report = fetch(published(limits, size=None))
    assert report.loc["ravdess", "status"] == "failed"
    assert note in report.loc["ravdess", "note"]
    assert not (tmp_path / "raw/ravdess").exists()
    assert not [path.name for path in (tmp_path / "raw").glob("*") if path.is_file()]
    assert report.loc["crema_d", "status"] == "downloaded"


@pytest.mark.parametrize(
    ("content", "note"),
    [
        (zipped({}), "contains 0 recordings instead of 1"),
        (zipped({"readme.txt": "moved"}), "contains 0 recordings instead of 1"),
        (zipped({"a.wav": bytes(9)})[:-30], "not a zip file"),
    ],
    ids=["empty", "without_recordings", "truncated"],  # archives hold the time: no ids for workers
)
def test_archives_without_recordings_failed_and_are_fetched_again(
    server, published, tmp_path, content, note
):
    (server.folder / "ravdess.zip").write_bytes(content)
    report = fetch(published(size=None))
    assert report.loc["ravdess", "status"] == "failed"
    assert note in report.loc["ravdess", "note"]
    (server.folder / "ravdess.zip").write_bytes(zipped({"a.wav": b"sound"}))
    assert fetch(published(size=None)).loc["ravdess", "status"] == "downloaded"


def test_an_archive_that_was_left_without_a_hash_is_not_used(server, published, tmp_path):
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw/ravdess.zip").write_bytes(zipped({"other.wav": b"other"}))
    assert fetch(published(size=None)).loc["ravdess", "status"] == "downloaded"
    assert not (tmp_path / "raw/ravdess/other.wav").exists()


def test_a_page_instead_of_a_recording_is_not_kept(server, published, tmp_path):
    (server.folder / "1001_DFA_SAD_XX.wav").write_text("<html>Busy</html>")
    report = fetch(published())
    assert report.loc["crema_d", "status"] == "failed"
    assert "1001_DFA_SAD_XX.wav sent a page instead of the file" in report.loc["crema_d", "note"]
    assert not (tmp_path / "raw/crema_d/1001_DFA_SAD_XX.wav").exists()

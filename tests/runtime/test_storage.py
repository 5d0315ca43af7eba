import os

import fsspec
import pytest
from upath import UPath

from speech_emotion.runtime import (
    REPEATED_LINK,
    FetchError,
    ServiceUnreachable,
    check_store,
    download,
    exists,
    file_state,
    list_files,
    open_binary,
    to_path,
    upload,
)


@pytest.fixture(params=["disk", "store"])
def folder(request, tmp_path):
    """An empty folder on disk, and one in an object store."""
    if request.param == "disk":
        yield str(tmp_path / "data")
        return
    files = fsspec.filesystem("memory")
    files.store.clear()
    yield "memory://data"
    files.store.clear()


def test_a_written_file_is_read_back_and_replaced(folder):
    path = f"{folder}/sub/a.bin"
    assert not exists(path)
    for content in (b"first", b"second"):
        with upload(path) as local:
            local.write_bytes(content)
        assert exists(path)
        with download(path) as local:
            assert local.read_bytes() == content
        with open_binary(path) as file:
            assert file.read() == content
        assert to_path(path).read_bytes() == content


def test_a_written_folder_replaces_the_older_one(folder):
    path = f"{folder}/model"
    for names in (["a", "b"], ["b", "c"]):
        with upload(path) as local:
            if local.exists():  # on disk: the caller replaces what is there
                for old in local.iterdir():
                    old.unlink()
            local.mkdir(exist_ok=True)
            for name in names:
                (local / name).write_text(name)
        with download(path) as local:
            assert sorted(file.name for file in local.iterdir()) == names


def test_files_are_listed_at_any_depth_with_size_and_version(folder):
    contents = {"a.wav": b"12", "sub/b c#1.wav": b"123"}
    for name, content in contents.items():
        with upload(f"{folder}/{name}") as local:
            local.write_bytes(content)
    listed = {file.below: (file.path, file.state) for file in list_files(folder)}
    assert {below: state.size for below, (_, state) in listed.items()} == {
        "a.wav": 2,
        "sub/b c#1.wav": 3,
    }
    for path, state in listed.values():
        assert file_state(path).size == state.size
        assert state.version
        assert exists(path)


def test_linked_folders_are_listed_once_and_nothing_is_left_out(tmp_path):
    root, outside = tmp_path / "root", tmp_path / "outside"
    (root / "a").mkdir(parents=True)
    outside.mkdir()
    (root / "a/one.wav").write_bytes(b"1")
    (outside / "two.wav").write_bytes(b"12")
    (outside / "back").symlink_to(root)  # a loop
    (root / "linked").symlink_to(outside)
    (root / "again").symlink_to(root / "a")
    (root / "gone.wav").symlink_to(tmp_path / "nowhere")
    os.mkfifo(root / "pipe.wav")
    listed = {file.below: file for file in list_files(root)}
    assert {below for below, file in listed.items() if not file.problem} == {
        "a/one.wav",
        "linked/two.wav",
    }
    repeated = {below for below, file in listed.items() if file.problem == REPEATED_LINK}
    assert repeated == {"again", "linked/back"}
    assert "leads nowhere" in listed["gone.wav"].problem
    assert "not a regular file" in listed["pipe.wav"].problem
    assert listed["linked/two.wav"].path == str(root / "linked/two.wav")


def test_a_folder_that_cannot_be_read_is_listed_with_the_remedy(tmp_path, monkeypatch):
    (tmp_path / "secret").mkdir()
    (tmp_path / "a.wav").write_bytes(b"1")
    scan = os.scandir

    def refuse(path):
        if str(path).endswith("secret"):  # a superuser may read any folder
            raise PermissionError(13, "Permission denied")
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)
    problems = {file.below: file.problem for file in list_files(tmp_path)}
    assert problems["a.wav"] == ""
    assert "Permission denied" in problems["secret"]
    assert "allow this user" in problems["secret"]


def test_a_missing_file_is_not_a_failure_of_the_store(folder):
    with pytest.raises(FileNotFoundError):
        file_state(f"{folder}/none")
    with pytest.raises(FileNotFoundError), open_binary(f"{folder}/none"):
        pass


def test_errors_of_a_store_can_be_told_from_bad_files(monkeypatch):
    def fail(*arguments, **options):
        raise TimeoutError("no answer")

    files = fsspec.filesystem("memory")
    monkeypatch.setattr(type(files), "info", fail)
    monkeypatch.setattr(type(files), "_open", fail)
    with pytest.raises(FetchError, match=r"memory://data/a: .*no answer.*run it again"):
        file_state("memory://data/a")
    with pytest.raises(FetchError, match="no answer"), open_binary("memory://data/a"):
        pass


def test_urls_are_remote_paths(tmp_path):
    assert isinstance(to_path("s3://bucket/a"), UPath)
    assert str(to_path("s3://bucket/a") / "b") == "s3://bucket/a/b"
    assert to_path(str(tmp_path)) == tmp_path


def test_a_web_server_that_does_not_answer_is_no_empty_folder():
    with pytest.raises(ServiceUnreachable, match=r"http://127\.0\.0\.1:1/calls does not answer"):
        list(list_files("http://127.0.0.1:1/calls"))


@pytest.mark.parametrize("place", ["option", "client", "environment"])
def test_an_object_store_that_does_not_answer_is_named(place, monkeypatch):
    s3fs = pytest.importorskip("s3fs")
    address = "http://127.0.0.1:1"
    if place == "environment":
        monkeypatch.setenv("AWS_ENDPOINT_URL", address)
    options = {
        "option": {"endpoint_url": address},
        "client": {"client_kwargs": {"endpoint_url": address}},
    }
    files = s3fs.S3FileSystem(key="a", secret="b", **options.get(place, {}))
    with pytest.raises(ServiceUnreachable, match=r"127\.0\.0\.1:1 does not .* needed for features"):
        check_store(files, "features")


def test_folders_are_listed_in_the_order_of_their_paths(tmp_path):
    for name in ("b/2.wav", "b/1.wav", "a/c/1.wav", "a/d/1.wav", "c/1.wav"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    paths = [file.path for file in list_files(tmp_path)]
    assert paths == sorted(paths)

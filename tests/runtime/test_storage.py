from pathlib import Path

import fsspec
import pytest
from upath import UPath

from speech_emotion.runtime import (
    FetchError,
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
    listed = {below: (path, state) for below, path, state in list_files(folder)}
    assert {below: state.size for below, (_, state) in listed.items()} == {
        "a.wav": 2,
        "sub/b c#1.wav": 3,
    }
    for path, state in listed.values():
        assert file_state(path).size == state.size
        assert state.version
        assert exists(path)


def test_a_broken_link_is_listed_as_empty(tmp_path):
    (tmp_path / "gone.wav").symlink_to(tmp_path / "nowhere")
    assert list(list_files(tmp_path)) == [("gone.wav", str(tmp_path / "gone.wav"), (0, ""))]


def test_links_to_folders_are_followed_once(tmp_path):
    day1, elsewhere = tmp_path / "calls" / "day1", tmp_path / "store"
    for folder in (day1, elsewhere):
        folder.mkdir(parents=True)
    (day1 / "a.wav").write_bytes(b"1")
    (elsewhere / "b.wav").write_bytes(b"22")
    (tmp_path / "calls" / "day2").symlink_to(elsewhere)
    (tmp_path / "calls" / "0_same").symlink_to(day1)  # reached by its own name, too
    (elsewhere / "up").symlink_to(tmp_path / "calls")  # a cycle
    listed = {below: state.size for below, _, state in list_files(tmp_path / "calls")}
    assert listed == {"day1/a.wav": 1, "day2/b.wav": 2}


def test_unreadable_folders_are_named(tmp_path, monkeypatch, caplog):
    (tmp_path / "locked").mkdir()
    (tmp_path / "a.wav").write_bytes(b"1")
    real = Path.iterdir

    def iterdir(path):  # a mode would not keep an administrator out
        if path.name == "locked":
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(Path, "iterdir", iterdir)
    assert [below for below, _, _ in list_files(tmp_path)] == ["a.wav"]
    assert f"{tmp_path / 'locked'}: this folder cannot be read (Permission denied)" in caplog.text
    named = []
    assert len(list(list_files(tmp_path, on_unreadable=lambda *row: named.append(row)))) == 1
    assert named == [
        (str(tmp_path / "locked"), "this folder cannot be read (Permission denied)"),
    ]


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

"""Files and folders that are written so that no reader sees half of one."""

import os
import threading
import time

import fsspec
import pandas as pd
import pytest

from speech_emotion.runtime import ShardStore, replacing, replacing_folder, upload, write_bytes


def test_readers_see_whole_files_while_two_writers_replace_them(tmp_path):
    path, size = tmp_path / "result.bin", 200_000
    write_bytes(path, b"0" * size)
    stop, seen, errors = threading.Event(), set(), []

    def write(letter):
        while not stop.is_set():
            try:
                write_bytes(path, letter * size)
            except OSError as error:
                errors.append(error)

    writers = [threading.Thread(target=write, args=(letter,)) for letter in (b"a", b"b")]
    for writer in writers:
        writer.start()
    for _ in range(150):
        content = path.read_bytes()
        assert len(content) == size
        assert len(set(content)) == 1
        seen.add(content[:1])
    stop.set()
    for writer in writers:
        writer.join()
    assert not errors
    assert {b"a", b"b"} <= seen
    assert os.listdir(tmp_path) == ["result.bin"]


def test_two_writers_of_a_folder_leave_one_whole_folder(tmp_path):
    target, errors = tmp_path / "model", []

    def write(name):
        for _ in range(30):
            try:
                with replacing_folder(target) as partial:
                    (partial / name).mkdir(parents=True)
                    for number in range(3):
                        (partial / name / str(number)).write_text(name)
            except OSError as error:
                errors.append(error)

    writers = [threading.Thread(target=write, args=(name,)) for name in "ab"]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert not errors
    (inner,) = target.iterdir()
    assert sorted(path.name for path in inner.iterdir()) == ["0", "1", "2"]
    assert os.listdir(tmp_path) == ["model"]


@pytest.mark.parametrize("place", ["{}/a/x.txt", "memory://a/x.txt"])
def test_what_fails_leaves_the_old_file_and_nothing_else(tmp_path, place):
    path = place.format(tmp_path)
    write_bytes(path, b"old")
    files, inner = fsspec.core.url_to_fs(path)

    def write_half():
        with replacing(path) as partial:
            files.pipe(partial, b"half of the ne")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_half()
    assert files.cat(inner) == b"old"
    assert [name.rsplit("/", 1)[-1] for name in files.ls(inner.rpartition("/")[0], False)] == [
        "x.txt"
    ]
    files.rm(inner)


def test_what_killed_writers_left_is_deleted_a_day_later(tmp_path):
    old, new = tmp_path / ".x.txt.1.partial", tmp_path / ".x.txt.2.partial"
    for left in (old, new):
        left.write_bytes(b"half")
    long_ago = time.time() - 100_000
    os.utime(old, (long_ago, long_ago))
    write_bytes(tmp_path / "x.txt", b"whole")
    assert not old.exists()
    assert new.exists()  # another process may be writing it


def test_a_file_replaces_a_folder_and_a_folder_a_file(tmp_path):
    target = tmp_path / "result"
    with upload(str(target)) as partial:
        partial.write_text("file")
    with upload(str(target)) as partial:
        partial.mkdir()
    assert target.is_dir()
    with upload(str(target)) as partial:
        partial.write_text("file")
    assert target.read_text() == "file"
    assert os.listdir(tmp_path) == ["result"]


def test_shards_that_are_being_written_are_not_listed(tmp_path):
    store = ShardStore(str(tmp_path))
    store.put("one", pd.DataFrame({"key": ["a"]}))
    (tmp_path / ".two.parquet.7.partial").write_bytes(b"half")
    assert store.names() == ["one"]

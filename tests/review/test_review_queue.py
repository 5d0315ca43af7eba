"""The queue: samples, assignment, verdicts. SQLite, and PostgreSQL where it is installed."""

import datetime as dt
import re
import shutil
import threading
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import sqlalchemy as sa
import yaml

from speech_emotion.review import (
    Changed,
    Database,
    DatabaseError,
    Filters,
    NotYours,
    QueueSettings,
    ReviewSettings,
    Taken,
    Verdict,
    WindowSample,
    add_user,
    change_queue_settings,
    claim,
    claim_next,
    count_items,
    list_items,
    load_queue_settings,
    read_scored_calls,
    record_verdict,
    skip,
    undo,
)
from speech_emotion.review.database import calls, items, metadata, users, verdicts

T0 = dt.datetime(2026, 11, 2, 9, 0, tzinfo=dt.UTC)
ANGRY = Verdict(verdict="angry")
CALM = Verdict(verdict="not_angry")
ADA, BEN = 1, 2


def later(minutes):
    return T0 + dt.timedelta(minutes=minutes)


def take(connection, user, filters=None, moment=T0, **options):
    return claim_next(connection, user, filters or Filters(), moment=moment, minutes=30, **options)


def states(database):
    with database.read() as connection:
        query = sa.select(items.c.status, sa.func.count()).group_by(items.c.status)
        return dict(connection.execute(query).all())


def test_flagged_passages_calls_to_review_and_samples_are_items(reviewed, scored_calls):
    with reviewed.database.read() as connection:
        rows = connection.execute(sa.select(items, calls.c.call).join(calls)).mappings().all()
    table = pd.DataFrame(rows)
    assert Counter(table["reason"]) == {"flagged": 3, "review": 1, "random": 5}
    flagged = table[table["reason"] == "flagged"].sort_values(["call", "start_s"])
    expected = scored_calls.call_passages.sort_values(["call", "start_s"])
    assert flagged["start_s"].tolist() == expected["start_s"].tolist()
    assert flagged["score"].tolist() == pytest.approx(expected["peak"].tolist())
    assert set(flagged["label"]) == {"angry"}
    (whole,) = table[table["reason"] == "review"].to_dict("records")
    assert (whole["start_s"], whole["end_s"], whole["kind"]) == (0.0, 60.0, "call")
    # Five of the windows that are scored, unflagged and outside of passages.
    windows = scored_calls.call_emotions.merge(
        scored_calls.call_passages, on="call", how="left", suffixes=("", "_p")
    )
    overlaps = (windows["end_s"] > windows["start_s_p"]) & (windows["start_s"] < windows["end_s_p"])
    inside = windows[overlaps].groupby(["call", "start_s"]).size().index
    scored = scored_calls.call_emotions[scored_calls.call_emotions["p_angry"].notna()]
    free = scored.set_index(["call", "start_s"]).index.difference(inside)
    probabilities = table.loc[table["reason"] == "random", "sampling_probability"]
    assert probabilities.unique() == pytest.approx([5 / len(free)])
    drawn = table[table["reason"] == "random"].set_index(["call", "start_s"]).index
    assert drawn.isin(free).all()


def test_starts_are_stored_in_utc(reviewed):
    with reviewed.database.read() as connection:
        found = dict(connection.execute(sa.select(calls.c.call_id, calls.c.started_at)).all())
    assert found == {
        # The hour occurs twice in London that night; the first is meant.
        "CENTER-1": dt.datetime(2026, 10, 25, 0, 30, tzinfo=dt.UTC),
        "CENTER-2": dt.datetime(2026, 10, 26, 9, 0, tzinfo=dt.UTC),
        "CENTER-3": dt.datetime(2026, 10, 27, 7, 0, tzinfo=dt.UTC),
        "CENTER-4": None,
    }


def test_every_window_of_a_stratum_is_drawn_with_the_stored_probability():
    none = pd.DataFrame(columns=["start_s", "end_s"])
    drawn, n = Counter(), 40
    for seed in range(100):
        sample = WindowSample(QueueSettings(random=4, uncertain=2), seed=seed)
        for call in range(4):
            start = np.arange(n // 4, dtype=float) + 100 * call
            # The last two of each call are uncertain.
            score = np.where(start % 100 >= 8, 0.3, 0.1)
            windows = {"start_s": start, "end_s": start + 1, "score": score, "flagged": False}
            windows |= {"emotion": "sad", "p_angry": score}
            sample.add(str(call), pd.DataFrame(windows), none, 0.5)
        chosen = sample.chosen()
        assert Counter(one.reason for one in chosen) == {"random": 4, "uncertain": 2}
        drawn.update(one.start_s for one in chosen)
        assert {one.sampling_probability for one in chosen} == {4 / 32, 2 / 8}
    random = [drawn[float(100 * call + i)] / 100 for call in range(4) for i in range(8)]
    uncertain = [drawn[float(100 * call + i)] / 100 for call in range(4) for i in (8, 9)]
    # Within four standard errors of the probability.
    assert np.abs(np.array(random) - 1 / 8).max() < 4 * np.sqrt(1 / 8 * 7 / 8 / 100)
    assert np.abs(np.array(uncertain) - 1 / 4).max() < 4 * np.sqrt(1 / 4 * 3 / 4 / 100)


def test_two_reviewers_never_get_the_same_item(reviewed):
    with reviewed.database.write() as connection:
        first, second = take(connection, ADA), take(connection, BEN)
        assert first != second
        assert take(connection, ADA) == first  # after a restart: what was open
        with pytest.raises(Taken):
            claim(connection, first, BEN, moment=T0, minutes=30)
        with pytest.raises(NotYours):
            record_verdict(connection, first, BEN, ANGRY, moment=T0)
    # After the lease, another reviewer gets it; the verdict of the first is stored nowhere else.
    with reviewed.database.write() as connection:
        assert claim(connection, first, BEN, moment=later(31), minutes=30)
        assert record_verdict(connection, first, BEN, CALM, moment=later(32)) == "open"
        with pytest.raises(NotYours):
            record_verdict(connection, first, ADA, ANGRY, moment=later(33))


def test_double_review_gives_an_item_to_two(reviewed):
    with reviewed.database.write() as connection:
        change_queue_settings(
            connection,
            QueueSettings(double_review=1.0),
            version=0,
            default=QueueSettings(),
            user="lea",
            moment=T0,
        )
        first = take(connection, ADA)
        assert take(connection, BEN) == first
        with pytest.raises(Taken):
            claim(connection, first, 3, moment=T0, minutes=30)
        record_verdict(connection, first, ADA, ANGRY, moment=later(1))
        assert take(connection, ADA, moment=later(1)) != first
    assert states(reviewed.database)["open"] == 9
    with reviewed.database.write() as connection:
        record_verdict(connection, first, BEN, CALM, moment=later(2))
    assert states(reviewed.database) == {"open": 8, "done": 1}


def test_undo_and_change_keep_history(reviewed):
    with reviewed.database.write() as connection:
        item = take(connection, ADA)
        record_verdict(connection, item, ADA, ANGRY, moment=later(1))
        record_verdict(connection, item, ADA, CALM, moment=later(2))
        assert undo(connection, ADA, moment=later(3), minutes=30) == item
        assert take(connection, ADA, moment=later(3)) == item
        assert undo(connection, ADA, moment=later(4), minutes=30) is None
    assert states(reviewed.database) == {"open": 9}
    with reviewed.database.write() as connection:
        record_verdict(connection, item, ADA, ANGRY, moment=later(5))
        rows = connection.execute(
            sa.select(verdicts.c.verdict, verdicts.c.superseded).order_by(verdicts.c.id)
        ).all()
    assert rows == [("angry", "changed"), ("not_angry", "undone"), ("angry", None)]
    assert states(reviewed.database) == {"open": 8, "done": 1}


def test_skipped_items_come_again_at_the_end(reviewed):
    with reviewed.database.write() as connection:
        first = take(connection, ADA)
        place = skip(connection, first, ADA)
        seen = []
        while (item := take(connection, ADA, after=place)) != first:
            record_verdict(connection, item, ADA, CALM, moment=T0)
            seen.append(item)
    assert len(set(seen)) == 8


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({"reason": "flagged"}, 3),
        ({"agent": "A2", "queue": "billing"}, 2),
        ({"since": dt.datetime(2026, 10, 27, tzinfo=dt.UTC)}, 1),
        ({"until": dt.datetime(2026, 10, 26, tzinfo=dt.UTC)}, 3),
        ({"score_from": 0.8}, 1),
        ({"score_from": 0.9}, 0),
    ],
)
def test_filters(reviewed, filters, expected):
    chosen = Filters(**filters)
    with reviewed.database.write() as connection:
        assert count_items(connection, chosen, "open") == expected
        rows = list_items(connection, chosen, "open", moment=T0)
        assert len(rows) == expected
        item = take(connection, ADA, chosen)
        assert item == (rows[0].id if rows else None)


def test_reading_again_changes_nothing(reviewed, settings):
    result = read_scored_calls(reviewed.database, reviewed.folder, settings)
    assert (result.new, result.again, result.items, result.withdrawn, result.moved) == (0,) * 5


def test_verdicts_on_calls_that_are_scored_again_stay_with_the_earlier_scores(reviewed, settings):
    flagged = Filters(reason="flagged")
    with reviewed.database.write() as connection:
        judged = take(connection, ADA, flagged)
        record_verdict(connection, judged, ADA, ANGRY, moment=T0)
        open_item = take(connection, ADA, flagged)
    place = reviewed.folder / "07_model_output/calls/summary.parquet"
    summary = pd.read_parquet(place)
    summary.assign(model="speech-emotion version 4", path="/elsewhere.wav").to_parquet(place)
    result = read_scored_calls(reviewed.database, reviewed.folder, settings)
    assert (result.new, result.again, result.items, result.withdrawn) == (0, 4, 9, 8)
    with reviewed.database.write() as connection:
        # The page was open: its verdict is kept, with the scores that were shown.
        status = record_verdict(connection, open_item, ADA, CALM, moment=later(1))
        assert status == "withdrawn"
        versions = connection.execute(
            sa.select(calls.c.model_version).join(items).join(verdicts)
        ).all()
        assert versions == [("speech-emotion version 3",)] * 2
        assert count_items(connection, flagged, "open") == 3


def test_recordings_that_moved_are_found_again(reviewed, settings):
    place = reviewed.folder / "07_model_output/calls/summary.parquet"
    summary = pd.read_parquet(place)
    summary.assign(path="/new/" + summary["call"], agent="A9").to_parquet(place)
    result = read_scored_calls(reviewed.database, reviewed.folder, settings)
    assert (result.again, result.moved) == (0, 4)
    with reviewed.database.read() as connection:
        paths = set(connection.scalars(sa.select(calls.c.recording)))
        assert all(path.startswith("/new/") for path in paths)
        assert count_items(connection, Filters(agent="A9"), "open") == 9


def test_without_scored_calls_the_pipeline_is_named(reviewed, settings, tmp_path):
    with pytest.raises(ValueError, match=r"no scored calls in .*--pipelines call_scoring"):
        read_scored_calls(reviewed.database, tmp_path, settings)
    passages = reviewed.folder / "07_model_output/calls/passages.parquet"
    pd.read_parquet(passages).drop(columns="speech_s").to_parquet(passages)
    with pytest.raises(ValueError, match=r"no column speech_s: .*another version"):
        read_scored_calls(reviewed.database, reviewed.folder, settings)


def test_the_second_of_two_leads_is_told_of_the_first(reviewed):
    default = QueueSettings()
    options = {"default": default, "moment": T0}
    with reviewed.database.write() as connection:
        first = QueueSettings(random=7)
        change_queue_settings(connection, first, version=0, user="lea", **options)
        with pytest.raises(Changed, match="lea") as caught:
            change_queue_settings(
                connection, QueueSettings(random=9), version=0, user="max", **options
            )
        assert caught.value.stored.queue == first
        assert load_queue_settings(connection, default).version == 1


# Databases


def test_migrations_make_the_tables_of_the_code(reviewed):
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    with reviewed.database.read() as connection:
        assert (
            compare_metadata(
                MigrationContext.configure(
                    connection, opts={"version_table": "review_schema_version"}
                ),
                metadata,
            )
            == []
        )


def test_a_database_of_the_first_version_is_migrated_with_its_rows(reviewed):
    with reviewed.database.write() as connection:
        n = connection.execute(sa.select(sa.func.count()).select_from(calls)).scalar_one()
        connection.execute(sa.text("ALTER TABLE calls DROP COLUMN synthetic"))
        connection.execute(sa.text("UPDATE review_schema_version SET version_num = '0001'"))
    with Database(str(reviewed.database.url)).read() as connection:
        assert connection.execute(sa.select(calls.c.synthetic)).scalars().all() == [False] * n


def test_a_locked_database_is_an_error_that_stores_nothing(reviewed, monkeypatch):
    monkeypatch.setattr("speech_emotion.review.database.BUSY_S", 0.1)
    other = Database(str(reviewed.database.url))
    with reviewed.database.write() as connection:
        take(connection, ADA)
        with pytest.raises(DatabaseError, match=r"locked.*try again"), other.write():
            pass
    other.close()


def test_databases_that_cannot_be_used_are_explained(reviewed, tmp_path):
    with pytest.raises(DatabaseError, match="start the server"):
        Database("postgresql://nobody@127.0.0.1:1/none")
    with pytest.raises(ValueError, match="PGPASSWORD") as caught:
        Database("postgresql://nobody:secret@127.0.0.1/none")
    assert "secret" not in str(caught.value)
    with pytest.raises(ValueError, match="sqlite:///PATH"):
        Database("review.db")
    (tmp_path / "text.db").write_text("no database, but some text that is long enough" * 99)
    with pytest.raises(DatabaseError, match=r"no database of reviews|not a database"):
        Database(f"sqlite:///{tmp_path}/text.db")
    with reviewed.database.write() as connection:
        connection.execute(sa.text("UPDATE review_schema_version SET version_num = '9999'"))
    with pytest.raises(DatabaseError, match="another version"):
        Database(str(reviewed.database.url))


def test_optuna_and_the_reviews_share_a_database(tmp_path):
    import optuna

    url = f"sqlite:///{tmp_path}/shared.db"
    optuna.create_study(storage=url, study_name="first")
    for _ in range(2):
        database = Database(url)
        with database.read() as connection:
            assert count_items(connection, Filters(), "open") == 0
        database.close()
    assert optuna.get_all_study_names(url) == ["first"]


@pytest.fixture(params=["sqlite", "postgresql"])
def shared_database(request, reviewed, settings, monkeypatch):
    """The queue of the four calls in either database."""
    if request.param == "sqlite":
        yield reviewed.database
        return
    server = request.getfixturevalue("server")
    monkeypatch.setenv("PGPASSWORD", server.password)
    database = Database(server.url)
    read_scored_calls(database, reviewed.folder, settings)
    with database.write() as connection:
        for number in range(4):
            add_user(connection, f"reviewer {number}", "reviewer", None)
    yield database
    with database.write() as connection:
        metadata.drop_all(connection)
        connection.execute(sa.text("DROP TABLE review_schema_version"))
    database.close()


def test_reviewers_at_the_same_time_share_the_queue(shared_database):
    with shared_database.read() as connection:
        reviewers = list(connection.scalars(sa.select(users.c.id)))
    found, failures = [], []
    start = threading.Barrier(len(reviewers))

    def work(user):
        try:
            start.wait()
            while True:
                with shared_database.write() as connection:
                    item = take(connection, user)
                if item is None:
                    return
                found.append(item)
                with shared_database.write() as connection:
                    record_verdict(connection, item, user, ANGRY, moment=later(1))
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(user,)) for user in reviewers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(found) == len(set(found)) == 9
    assert states(shared_database) == {"done": 9}


def test_an_old_database_can_be_read_by_another_process(reviewed, tmp_path):
    """What one process wrote is there for the next one, also from a copy of the file."""
    with reviewed.database.write() as connection:
        item = take(connection, ADA)
        record_verdict(connection, item, ADA, ANGRY, moment=T0)
    reviewed.database.compact()
    shutil.copy(reviewed.database.url.database, tmp_path / "copy.db")
    copy = Database(f"sqlite:///{tmp_path}/copy.db")
    assert states(copy) == {"open": 8, "done": 1}
    copy.close()


def test_defaults_are_those_of_the_configuration():
    text = (Path(__file__).parents[2] / "conf/base/review/parameters.yml").read_text()
    written = yaml.safe_load(re.sub(r"\$\{runtime_params:\w+,([^}]*)\}", r"\1", text))["review"]
    assert ReviewSettings().model_dump() == written
    with pytest.raises(ValueError, match="'Mars/Olympus' is no time zone"):
        ReviewSettings(time_zone="Mars/Olympus")

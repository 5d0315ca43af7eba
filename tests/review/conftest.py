from types import SimpleNamespace

import pytest

pytest.importorskip("sqlalchemy")
pytest.importorskip("alembic")

from speech_emotion.review import (
    Database,
    QueueSettings,
    ReviewSettings,
    add_user,
    read_scored_calls,
)

PASSWORDS = {"ada": "correct horse", "ben": "battery staple", "lea": "tall red lamp"}


@pytest.fixture(scope="session")
def tables_of_calls(scored_calls):
    """Tables of four scored calls, with what the pipeline adds to the summary."""
    summary = scored_calls.call_summary.assign(
        model="speech-emotion version 3",
        call_id=["CENTER-1", "CENTER-2", "CENTER-3", "CENTER-4"],
        agent=["A1", "A2", "A1", "A2"],
        queue=["billing", "billing", "sales", "sales"],
        direction="inbound",
        started=["2026-10-25T01:30:00", "2026-10-26T09:00:00", "2026-10-27T09:00:00+02:00", ""],
    )
    return scored_calls._replace(call_summary=summary)


def lay_down(folder, tables):
    """Write the tables where the catalog has them."""
    place = folder / "07_model_output/calls"
    place.mkdir(parents=True, exist_ok=True)
    tables.call_emotions.to_parquet(place / "emotions.parquet")
    tables.call_summary.to_parquet(place / "summary.parquet")
    tables.call_passages.to_parquet(place / "passages.parquet")
    return folder


@pytest.fixture(scope="session")
def settings():
    queue = QueueSettings(uncertain=3, random=5, double_review=0.0)
    return ReviewSettings(time_zone="Europe/London", queue=queue)


@pytest.fixture(scope="session")
def reviewed_template(tables_of_calls, settings, tmp_path_factory):
    """A folder of scored calls with a filled queue and three users, to copy."""
    folder = lay_down(tmp_path_factory.mktemp("reviewed"), tables_of_calls)
    database = Database(f"sqlite:///{folder}/09_review/review.db")
    read_scored_calls(database, folder, settings)
    with database.write() as connection:
        for name, password in PASSWORDS.items():
            add_user(connection, name, "lead" if name == "lea" else "reviewer", password)
    database.compact()
    database.close()
    return folder


@pytest.fixture
def reviewed(reviewed_template, tmp_path):
    """A copy of the folder and its open database."""
    import shutil

    folder = tmp_path / "data"
    shutil.copytree(reviewed_template, folder)
    database = Database(f"sqlite:///{folder}/09_review/review.db")
    yield SimpleNamespace(folder=folder, database=database)
    database.close()

"""Run migrations on the connection that the application passes."""

from alembic import context

from speech_emotion.review.database import metadata

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=metadata)
with context.begin_transaction():
    context.run_migrations()

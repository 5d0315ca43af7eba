"""Run migrations on the connection that the application passes."""

from alembic import context

from speech_emotion.review.database import metadata

connection = context.config.attributes["connection"]
# Optuna and MLflow also use Alembic. A table of our own lets them share a database with the reviews.
context.configure(
    connection=connection, target_metadata=metadata, version_table="review_schema_version"
)
with context.begin_transaction():
    context.run_migrations()

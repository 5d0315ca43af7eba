"""Whether the model that scored a call was trained on synthetic speech."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Apply the migration."""
    op.add_column(
        "calls", sa.Column("synthetic", sa.Boolean(), nullable=False, server_default=sa.false())
    )

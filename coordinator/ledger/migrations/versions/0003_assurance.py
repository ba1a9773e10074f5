"""assurance and session keys

Revision ID: 0003
Revises: 0002
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = '0003'
down_revision = '0002'
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Provers that are registered by now named no operator.
    with op.batch_alter_table('prover', schema=None) as batch_op:
        batch_op.add_column(sa.Column('operator', sa.String(), server_default='', nullable=False))

    # Proofs of before were signed by no session key.
    with op.batch_alter_table('attempt', schema=None) as batch_op:
        batch_op.add_column(sa.Column('session_key', sa.String(), server_default='', nullable=False))

    op.create_table('session_key',
    sa.Column('digest', sa.String(), nullable=False),
    sa.Column('kind', sa.String(), nullable=False),
    sa.Column('program_id', sa.String(), nullable=False),
    sa.Column('prover_address', sa.String(), nullable=False),
    sa.Column('address', sa.String(), nullable=False),
    sa.Column('expiry', sa.BigInteger(), nullable=False),
    sa.Column('document', sa.JSON(), nullable=False),
    sa.Column('register_tx', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), nullable=True),
    sa.Column('code', sa.String(), nullable=False),
    sa.Column('reason', sa.String(), nullable=False),
    sa.Column('created_at', sa.BigInteger(), nullable=False),
    sa.PrimaryKeyConstraint('digest')
    )
    with op.batch_alter_table('session_key', schema=None) as batch_op:
        batch_op.create_index('ix_session_key_register_tx', ['register_tx'], unique=False)


def downgrade() -> None:
    op.drop_table('session_key')
    with op.batch_alter_table('attempt', schema=None) as batch_op:
        batch_op.drop_column('session_key')
    with op.batch_alter_table('prover', schema=None) as batch_op:
        batch_op.drop_column('operator')

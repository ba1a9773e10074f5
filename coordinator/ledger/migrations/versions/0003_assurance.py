"""assurance in stages and session keys

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

    # Tasks of before have no second stage.
    with op.batch_alter_table('task', schema=None) as batch_op:
        batch_op.add_column(sa.Column('confirm_kind', sa.String(), server_default='', nullable=False))
        batch_op.add_column(sa.Column('confirm_within', sa.Integer(), server_default='0', nullable=False))
        batch_op.add_column(sa.Column('confirm_by', sa.BigInteger(), nullable=True))
        batch_op.add_column(sa.Column('confirmation', sa.String(), server_default='', nullable=False))
        batch_op.add_column(sa.Column('confirmation_at', sa.BigInteger(), nullable=True))
        batch_op.add_column(sa.Column('confirm_code', sa.String(), server_default='', nullable=False))
        batch_op.add_column(sa.Column('confirm_reason', sa.String(), server_default='', nullable=False))
        batch_op.add_column(sa.Column('confirm_attempts_used', sa.Integer(), server_default='0', nullable=False))
        batch_op.add_column(sa.Column('confirm_next_at', sa.BigInteger(), server_default='0', nullable=False))
    awaited = sa.text("confirmation = 'AWAITED'")
    for name, columns in (
        ('ix_task_awaited', ['project_id', 'version', 'confirm_by', 'id']),
        ('ix_task_awaited_until', ['confirm_by']),
    ):
        op.create_index(name, 'task', columns, unique=False, sqlite_where=awaited, postgresql_where=awaited)

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
    op.drop_index('ix_task_awaited_until', table_name='task')
    op.drop_index('ix_task_awaited', table_name='task')
    with op.batch_alter_table('task', schema=None) as batch_op:
        for name in (
            'confirm_next_at', 'confirm_attempts_used', 'confirm_reason', 'confirm_code', 'confirmation_at',
            'confirmation', 'confirm_by', 'confirm_within', 'confirm_kind',
        ):
            batch_op.drop_column(name)
    with op.batch_alter_table('attempt', schema=None) as batch_op:
        batch_op.drop_column('session_key')
    with op.batch_alter_table('prover', schema=None) as batch_op:
        batch_op.drop_column('operator')

"""Run by Alembic, on the connection `serving.feedback.migrate` hands over."""

from alembic import context

from serving.feedback.schema import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
context.run_migrations()

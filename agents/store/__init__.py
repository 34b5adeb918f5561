"""What is kept, in SQLite or PostgreSQL: SQLAlchemy Core, schema by Alembic.

`schema.py` has the tables, `database.py` the connection, one file for each thing that is kept.
"""

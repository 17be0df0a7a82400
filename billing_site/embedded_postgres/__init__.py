"""The default database: a PostgreSQL that starts by itself on the first connection."""

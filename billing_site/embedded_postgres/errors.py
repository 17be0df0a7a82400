"""What can keep the embedded PostgreSQL from running; each message names a way out."""

ADVICE = "Or set DATABASE_URL to a database of your own."


class EmbeddedPostgresError(Exception):
    """The embedded PostgreSQL cannot do what was asked; the message says why and what to do."""

    def __init__(self, explanation: str) -> None:
        super().__init__(f"{explanation} {ADVICE}")


class UnsupportedPlatform(EmbeddedPostgresError):
    """This operating system or this account cannot run the embedded server."""


class BinariesMissing(EmbeddedPostgresError):
    """The wheel with the PostgreSQL programs is not installed, or is not the right one."""


class ClusterBelongsToAnother(EmbeddedPostgresError):
    """The cluster's directory belongs to another user, or holds something else."""


class ServerDidNotStart(EmbeddedPostgresError):
    """initdb or the server failed; the message carries the end of its output."""


class ServerDidNotStop(EmbeddedPostgresError):
    """The server is still there after it was told to stop."""

"""Mails that are owed: a row in the transaction of the fact, sent by the worker afterwards.

`queue()` is all that the rest of the site calls. docs/notices.md lists what is sent when.
"""

from credits.notices.outbox import queue, send_again, tell_staff

__all__ = ["queue", "send_again", "tell_staff"]

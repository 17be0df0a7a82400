"""A small SMTP server: keeps what it takes, and can be told to fail as servers do."""

import email
import threading
from email.message import Message
from email.policy import default
from socketserver import StreamRequestHandler, ThreadingTCPServer
from typing import Any


class MailServer(ThreadingTCPServer):
    allow_reuse_address = daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Session)
        self.taken: list[Message] = []
        self.sessions = 0
        self.greeting = b"220 ready"
        self.answer_to_recipient = b"250 fine"
        self.hangs_up_after_data = False

    def __enter__(self) -> "MailServer":
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: Any) -> None:
        self.shutdown()
        self.server_close()


class _Session(StreamRequestHandler):
    server: MailServer

    def handle(self) -> None:
        self.server.sessions += 1
        self.say(self.server.greeting)
        while line := self.rfile.readline():
            verb = line[:4].upper().strip()
            if verb == b"DATA":
                if not self.take():
                    return
            elif verb == b"RCPT":
                self.say(self.server.answer_to_recipient)
            else:
                self.say(b"221 bye" if verb == b"QUIT" else b"250 fine")

    def take(self) -> bool:
        self.say(b"354 go on")
        lines = []
        while (line := self.rfile.readline()) != b".\r\n":
            lines.append(line.removeprefix(b".") if line.startswith(b"..") else line)
        if self.server.hangs_up_after_data:
            return False
        self.server.taken.append(email.message_from_bytes(b"".join(lines), policy=default))
        self.say(b"250 taken")
        return True

    def say(self, line: bytes) -> None:
        self.wfile.write(line + b"\r\n")

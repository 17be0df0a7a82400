import threading
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from billing_site.duties import DUTIES, STREAMS
from generation import worker


class Command(BaseCommand):
    help = "Runs generations and the periodic duties. SIGTERM lets it finish what is under way."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--concurrency", type=int, default=4, help="generations at a time")

    def handle(self, *args: Any, concurrency: int, **options: Any) -> None:
        self.stdout.write(f"worker {worker.worker_name()} ready, {concurrency} at a time")
        worker.run_worker(
            concurrency=concurrency, stop=threading.Event(), streams=STREAMS, duties=DUTIES
        )
        self.stdout.write("worker stopped: nothing was left under way")

"""manage.py local_model start|stop|status|download: the model that needs no provider."""

from argparse import ArgumentParser

from django.core.management.base import BaseCommand, CommandError

from generation import local_model


class Command(BaseCommand):
    help = "Runs the local language model that answers while GENERATION_BASE_URL is unset."
    # It must work before there is a database.
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("action", choices=["start", "stop", "status", "download"])

    def handle(self, *, action: str, **options: object) -> None:
        try:
            self.stdout.write(getattr(self, action)())
        except local_model.LocalModelUnavailable as error:
            raise CommandError(str(error)) from error
        except KeyboardInterrupt:
            raise CommandError("Interrupted.") from None

    def download(self) -> str:
        return f"{local_model.MODEL_NAME} is at {local_model.weights(self.stdout.write)}."

    def start(self) -> str:
        local_model.weights(self.stdout.write)
        return f"{local_model.MODEL_NAME} answers at {local_model.ensure()}."

    def stop(self) -> str:
        return "Stopped." if local_model.stop() else "No local model was running."

    def status(self) -> str:
        server = local_model.status()
        if server is None:
            raise CommandError("The local model is not running: `manage.py local_model start`.")
        if not server.answers():
            raise CommandError(f"The local model is loading, or hangs (process {server.pid}).")
        return f"{local_model.MODEL_NAME} answers at {server.base_url} (process {server.pid})."

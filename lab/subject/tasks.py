"""The task under test: celery -A tasks worker."""

from app import app, settings, spill_prefix, status

from celery.utils.log import get_task_logger

from experiment import Experiment, checked_arguments

log = get_task_logger(__name__)
log.setLevel(settings.log_level)


@app.task(bind=True, name="tasks.leak_demo")
def leak_demo(self, iterations=10, rows=500_000_000, timeout_sec=2.0):
    """Runs a DuckDB query of that many rows under a limit, iterations times."""
    arguments = checked_arguments(iterations, rows, timeout_sec)
    return Experiment(settings, status, log, spill_prefix).run(self.request.id, *arguments)

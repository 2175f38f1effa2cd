"""The Celery application: settings checked, the GIL watched, the start method set."""

# The watch comes first: it sees only what is loaded after it.
import gil_status

_watch = gil_status.Watch()
_watch.install()

import multiprocessing
import os
import sys
from typing import Any

import query
import settings as settings_module
import spill

status = gil_status.Status(_watch)
status.find_culprit()

from celery import Celery
from celery.signals import worker_process_init

EXIT_USAGE = 2


def _stop(line: str) -> None:
    """Ends the worker before it starts. SystemExit passes through Celery's own handling of broken apps."""
    print(f"subject: {line}", file=sys.stderr, flush=True)
    raise SystemExit(EXIT_USAGE)


def _broker_options(config: settings_module.Settings) -> dict[str, Any]:
    """What Celery is told of the broker; makes the folders of a filesystem broker."""
    if config.broker_folder is None:
        return {"broker_url": config.broker_url}
    folders = {name: os.path.join(config.broker_folder, name) for name in ("messages", "processed", "control")}
    for folder in folders.values():
        try:
            os.makedirs(folder, exist_ok=True)
        except OSError as error:
            _stop(f"CELERY_BROKER_URL={config.broker_url}: cannot make {folder}: {error.strerror}")
    return {
        "broker_url": "filesystem://",
        "broker_transport_options": {
            # What one side writes, the other reads: one folder for both directions.
            "data_folder_in": folders["messages"],
            "data_folder_out": folders["messages"],
            "processed_folder": folders["processed"],
            "control_folder": folders["control"],
            "store_processed": False,
            # Seconds between looks into the folder; the transport's own second would be most of a short task.
            "polling_interval": 0.05,
        },
    }


def _read_settings() -> settings_module.Settings:
    try:
        config = settings_module.read_settings(os.environ)
    except settings_module.SettingsError as error:
        _stop(str(error))
    try:
        query.load_driver(config.driver, config.library)
    except (OSError, ImportError) as error:
        _stop(f"DUCKDB_DRIVER={config.driver}: cannot be loaded: {error}")
    return config


def _set_start_method() -> None:
    if settings.start_method is not None:
        multiprocessing.set_start_method(settings.start_method, force=True)


@worker_process_init.connect
def _in_pool_child(**_: Any) -> None:
    _set_start_method()


settings = _read_settings()
_set_start_method()
spill_prefix = spill.new_prefix()

app = Celery("tasks")
app.conf.update(
    **_broker_options(settings),
    result_backend=settings.result_backend,
    broker_connection_retry_on_startup=True,
    # One task at a time, and no second one waiting inside the worker.
    worker_prefetch_multiplier=1,
)

#!/usr/bin/env python3
"""Writes celery-*.json beside itself: what the real Celery client sends, byte by byte as AMQP
types, for a number of calls. Run it by hand with a Python that has Celery 5.7; RabbitMQ must be
installed (a private node is started). tests/unit/test_message.c compares our messages with it.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import pathlib
import socket
import struct
import sys
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "e2e"))

import celery  # noqa: E402
from broker_support import private_rabbitmq  # noqa: E402

NOW_UNIX_US = 1_790_000_000_123_456
NOW = datetime.datetime.fromtimestamp(NOW_UNIX_US // 1_000_000, datetime.timezone.utc).replace(
    microsecond=NOW_UNIX_US % 1_000_000)
ORIGIN = "gen1@host"
LONG = "Alle Wege fuehren nach Rom, aber nicht jeder ist kurz. " * 40

# Options of send_task; args and kwargs are what our side gets as JSON.
VARIANTS: dict[str, dict[str, object]] = {
    "plain": {},
    "args": {"args": [2, 3]},
    "one-arg": {"args": ["it's \"quoted\" \\ back\nline\ttab"]},
    "kwargs": {"kwargs": {"x": 1, "y": None, "ja": True, "nein": False}},
    "unicode": {"args": ["süß", "日本語", "🐘"], "kwargs": {"größe": "ß"}},
    "numbers": {"args": [0, -1, 2**53, 0.1, 1.0, 1e16, 1e15, 1.5e-5, 0.0001, -2.5, 1e300, 123456.789, 5e-324]},
    "nested": {"args": [[1, [2, [3, [4]]]], {"a": {"b": {"c": {"d": 1}}}}, [], {}, [[]], [[[]]]]},
    "long-text": {"args": [LONG], "kwargs": {"text": LONG}},
    "long-unicode": {"args": ["日本" * 600]},
    "long-list": {"args": list(range(1000)), "kwargs": {f"key{i}": [i, str(i)] for i in range(200)}},
    "long-after-list": {"args": [[["x" * 500], ["y" * 500], ["z" * 100, [1, 2]]], {"k": "v"}]},
    "exact-fit": {"args": ["x" * 1019, 1]},
    "countdown": {"countdown": 10},
    "countdown-float": {"countdown": 0.876544},
    "countdown-zero": {"countdown": 0},
    "expires": {"expires": 60},
    "expires-float": {"expires": 1.5},
    "expires-zero": {"expires": 0},
    "limits": {"time_limit": 20, "soft_time_limit": 10},
    "limits-float": {"time_limit": 20.5},
    "soft-only": {"soft_time_limit": 3},
    "priority": {"priority": 5},
    "priority-zero": {"priority": 0},
    "ignore-result": {"ignore_result": True},
    "all": {"args": [1, "two"], "kwargs": {"three": 3.0}, "countdown": 10, "expires": 60, "priority": 9,
            "time_limit": 20, "soft_time_limit": 10},
}


class Tap:
    """A proxy before the broker that keeps what the client sends."""

    def __init__(self, port: int) -> None:
        self.sent = bytearray()
        self._upstream = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def message(self) -> dict[str, object]:
        """The message that was sent last: it may still be on its way to us."""
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            with contextlib.suppress(struct.error, AssertionError, KeyError, IndexError, ValueError):
                message = published(bytes(self.sent))
                json.loads(str(message["body"]))  # an incomplete one fails
                return message
            time.sleep(0.01)
        raise TimeoutError("no message came by")

    def _serve(self) -> None:
        while True:
            client, _ = self._listener.accept()
            server = socket.create_connection(("127.0.0.1", self._upstream))
            threading.Thread(target=self._copy, args=(client, server, True), daemon=True).start()
            threading.Thread(target=self._copy, args=(server, client, False), daemon=True).start()

    def _copy(self, source: socket.socket, sink: socket.socket, keep: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if keep:
                    self.sent += data
                sink.sendall(data)
        sink.close()


class Reader:
    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def take(self, layout: str) -> object:
        (value,) = struct.unpack_from(">" + layout, self.data, self.at)
        self.at += struct.calcsize(">" + layout)
        return value

    def bytes(self, length: object) -> bytes:
        assert isinstance(length, int) and self.at + length <= len(self.data)
        self.at += length
        return self.data[self.at - length:self.at]

    def short(self) -> str:
        return self.bytes(self.take("B")).decode()

    def value(self) -> list[object]:
        """[type letter, value]; arrays hold values, tables [name, type letter, value]."""
        kind = self.bytes(1).decode()
        if kind == "V":
            return [kind, None]
        if kind == "S":
            return [kind, self.bytes(self.take("I")).decode()]
        if kind == "t":
            return [kind, bool(self.take("B"))]
        if kind in "Id":
            return [kind, self.take({"I": "i", "d": "d"}[kind])]
        if kind == "A":
            inner = Reader(self.bytes(self.take("I")))
            items = []
            while inner.at < len(inner.data):
                items.append(inner.value())
            return [kind, items]
        if kind == "F":
            return [kind, self.table()]
        raise ValueError(f"AMQP type {kind!r}")

    def table(self) -> list[list[object]]:
        inner = Reader(self.bytes(self.take("I")))
        fields = []
        while inner.at < len(inner.data):
            name = inner.short()
            fields.append([name, *inner.value()])
        return fields


PROPERTIES = [  # in the order of their flags, from the highest bit
    ("content_type", "s"), ("content_encoding", "s"), ("headers", "F"), ("delivery_mode", "B"), ("priority", "B"),
    ("correlation_id", "s"), ("reply_to", "s"), ("expiration", "s"), ("message_id", "s"), ("timestamp", "Q"),
    ("type", "s"), ("user_id", "s"), ("app_id", "s"), ("cluster_id", "s")]


def published(data: bytes) -> dict[str, object]:
    """The last basic.publish in a stream of a client's frames."""
    reader = Reader(data)
    message: dict[str, object] = {}
    body = b""
    while reader.at < len(data):
        if data[reader.at:reader.at + 4] == b"AMQP":
            reader.at += 8
            continue
        frame, _, size = reader.take("B"), reader.take("H"), reader.take("I")
        payload = Reader(reader.bytes(size))
        assert reader.bytes(1) == b"\xce"
        if frame == 1 and payload.take("I") == 60 << 16 | 40:
            payload.take("H")
            message = {"exchange": payload.short(), "routing_key": payload.short()}
            body = b""
        elif frame == 2:
            payload.take("I")
            payload.take("Q")
            flags = payload.take("H")
            assert isinstance(flags, int)
            for i, (name, kind) in enumerate(PROPERTIES):
                if flags & 0x8000 >> i:
                    message[name] = (payload.short() if kind == "s" else payload.table() if kind == "F"
                                     else payload.take(kind))
        elif frame == 3:
            body += payload.data
    message["headers"]  # noqa: B018 (a KeyError when the message is not complete)
    message["body"] = body.decode()
    return message


class App(celery.Celery):
    def now(self) -> datetime.datetime:
        return NOW


def main() -> None:
    with private_rabbitmq() as rabbit:
        tap = Tap(rabbit.port)
        app = App("capture", broker=f"amqp://guest:guest@127.0.0.1:{tap.port}//", backend="rpc://")
        for name, options in VARIANTS.items():
            options = dict(options)
            args, kwargs = options.pop("args", []), options.pop("kwargs", {})
            assert isinstance(args, list) and isinstance(kwargs, dict)
            tap.sent.clear()
            task_id = f"00000000-0000-4000-8000-{list(VARIANTS).index(name):012d}"
            app.send_task("tasks.some", tuple(args), kwargs, task_id=task_id, queue="capture", **options)
            message = tap.message()
            for header in message["headers"]:  # type: ignore[attr-defined]
                if header[0] == "origin":  # names this process and machine
                    header[2] = ORIGIN
            call = {"task": "tasks.some", "id": task_id, "args": args, "kwargs": kwargs, **options,
                    "reply_to": message["reply_to"], "now_unix_us": NOW_UNIX_US, "origin": ORIGIN}
            golden = {"celery": celery.__version__, "call": call, "message": message}
            path = HERE / f"celery-{name}.json"
            path.write_text(json.dumps(golden, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
        print(f"{len(VARIANTS)} files")
        app.close()


if __name__ == "__main__":
    main()

"""A client of the executor protocol, written from docs/executor-wire.md alone: that proves the page."""

import array
import json
import os
import socket
import struct
import subprocess
import time
from dataclasses import dataclass, field
from typing import Any, Optional

HEADER = struct.Struct("<4sHHIIQ")
MAGIC = b"gtx\x01"
TYPES = {
    1: "hello", 2: "ready", 3: "ack", 4: "progress", 5: "chunk", 6: "memfd", 7: "result", 8: "error", 9: "refused",
    10: "end", 32: "job", 33: "interrupt", 34: "reset", 35: "bye",
}  # fmt: skip
NUMBERS = {name: number for number, name in TYPES.items()}
WAIT = 60.0


@dataclass
class Frame:
    type: str
    job: int = 0
    head: dict[str, Any] = field(default_factory=dict)
    body: bytes = b""
    fd: int = -1


class Lost(Exception):
    """The executor closed the socket."""


def encode(frame: Frame) -> bytes:
    head = json.dumps(frame.head).encode() if frame.head else b""
    header = HEADER.pack(MAGIC, NUMBERS[frame.type], 0, len(head) + len(frame.body), len(head), frame.job)
    return header + head + frame.body


@dataclass
class Answer:
    """All that a job was answered with."""

    kind: str
    head: dict[str, Any]
    end: dict[str, Any]
    body: bytes
    schemas: dict[int, list[dict[str, Any]]]
    rows: dict[int, list[Any]]
    files: list[Frame]
    acks: list[dict[str, Any]]
    progress: list[dict[str, Any]]
    seconds: float

    def only_rows(self) -> list[Any]:
        assert self.kind == "result", self.head
        assert len(self.rows) == 1, sorted(self.rows)
        return next(iter(self.rows.values()))

    def value(self) -> Any:
        return self.only_rows()[0][0]

    def file_bytes(self) -> bytes:
        (frame,) = self.files
        data = os.pread(frame.fd, frame.head["bytes"] + 1, 0)
        os.close(frame.fd)
        assert len(data) == frame.head["bytes"]
        return data


class Client:
    """An executor that runs as a child, and our end of its socket."""

    def __init__(self, argv: list[str], **popen: Any):
        self.socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        with theirs:
            self.process = subprocess.Popen([*argv, "--fd", str(theirs.fileno())], pass_fds=[theirs.fileno()], **popen)
        self.buffer = b""
        self.fds: list[int] = []
        self.job = 0

    def start(self) -> dict[str, Any]:
        hello, ready = self.read(), self.read()
        assert (hello.type, ready.type) == ("hello", "ready")
        assert hello.head["protocol"] == 1
        return hello.head

    def send(self, frame: Frame) -> None:
        self.socket.sendall(encode(frame))

    def receive(self, deadline: float) -> None:
        self.socket.settimeout(max(deadline - time.monotonic(), 0.001))
        data, controls, _, _ = self.socket.recvmsg(1 << 20, socket.CMSG_SPACE(4 * 4))
        for level, kind, content in controls:
            assert (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS)
            self.fds += array.array("i", content)
        if not data:
            raise Lost(f"{len(self.buffer)} bytes were left")
        self.buffer += data

    def read(self, seconds: float = WAIT) -> Frame:
        deadline = time.monotonic() + seconds
        while len(self.buffer) < HEADER.size:
            self.receive(deadline)
        magic, number, flags, length, head_length, job = HEADER.unpack_from(self.buffer)
        assert magic == MAGIC and head_length <= length
        while len(self.buffer) < HEADER.size + length:
            self.receive(deadline)
        head = self.buffer[HEADER.size : HEADER.size + head_length]
        body = self.buffer[HEADER.size + head_length : HEADER.size + length]
        self.buffer = self.buffer[HEADER.size + length :]
        fd = self.fds.pop(0) if flags & 1 else -1
        return Frame(TYPES[number], job, json.loads(head) if head else {}, body, fd)

    def submit(self, body: Any, kind: str = "sql", **head: Any) -> int:
        self.job += 1
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send(Frame("job", self.job, {"kind": kind, **head}, data))
        return self.job

    def interrupt(self, job: Optional[int] = None) -> None:
        self.send(Frame("interrupt", self.job if job is None else job))

    def finish(self, seconds: float = WAIT) -> Answer:
        """Everything until the job's end. Acks of other jobs are not ours to judge: they are kept too."""
        started = time.monotonic()
        texts: dict[int, bytes] = {}
        answer = Answer("", {}, {}, b"", {}, {}, [], [], [], 0.0)
        while True:
            frame = self.read(seconds)
            assert frame.job == self.job or frame.type == "ack", frame
            if frame.type == "chunk" and frame.head["format"] == "schema":
                answer.schemas[frame.head.get("statement", 0)] = json.loads(frame.body)["columns"]
                texts[frame.head.get("statement", 0)] = b""
            elif frame.type == "chunk":
                number = frame.head.get("statement", 0)
                texts[number] = texts.get(number, b"") + frame.body
            elif frame.type == "memfd":
                answer.files.append(frame)
            elif frame.type == "ack":
                answer.acks.append({"job": frame.job, **frame.head})
            elif frame.type == "progress":
                answer.progress.append(frame.head)
            elif frame.type == "end":
                assert answer.kind, "an end without an answer"
                answer.end = frame.head
                break
            else:
                assert frame.type in ("result", "error", "refused") and not answer.kind, frame
                answer.kind, answer.head, answer.body = frame.type, frame.head, frame.body
        answer.seconds = time.monotonic() - started
        if answer.kind == "result" and answer.head.get("format") == "sql":
            answer.rows = {n: [json.loads(line) for line in text.splitlines()] for n, text in texts.items()}
        return answer

    def sql(self, sql: str, params: Any = None, limits: Optional[dict[str, Any]] = None, **body: Any) -> Answer:
        if params is not None:
            body["params"] = params
        self.submit({"sql": sql, **body}, **(limits or {}))
        return self.finish()

    def close(self) -> int:
        self.socket.close()
        for fd in self.fds:
            os.close(fd)
        try:
            return self.process.wait(WAIT)
        finally:
            self.process.kill()
            self.process.wait()

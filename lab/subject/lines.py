"""The subject's log lines: a word, then key=value pairs, in the order given."""

import json
from typing import Any


def _value(value: Any) -> str:
    text = str(value)
    # A value that would not be one word is written as a JSON string, so that lines can be split again.
    return json.dumps(text) if not text or any(c.isspace() or c == '"' for c in text) else text


def pairs(**fields: Any) -> str:
    return " ".join(f"{key}={_value(value)}" for key, value in fields.items())

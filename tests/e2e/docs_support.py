"""The commands of the documentation, which tests run: those in ```sh blocks anywhere, those in ```sh docker blocks
where there is an engine (tests/docker)."""

import pathlib
import re

ROOT = pathlib.Path(__file__).resolve().parents[2]
DOCUMENTS = ["README.md", "README.ja.md", "CONTRIBUTING.md", "docs/lab.md", "docs/interpreters.md", "docs/docker.md"]


def commands(document: str, kind: str = "sh") -> list[str]:
    """Of the blocks that begin with ```KIND, in order, without comments."""
    text = (ROOT / document).read_text()
    found = []
    for block in re.findall(rf"^```{kind}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE):
        for line in block.replace("\\\n", " ").splitlines():
            command = re.sub(r"\s+#.*", "", line).strip()
            if command and not command.startswith("#"):
                found.append(command)
    return found

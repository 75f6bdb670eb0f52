"""Where the intermediate files of training lie: outside the repository, under the temporary folder."""

import tempfile
from pathlib import Path

WORKSPACE = Path(tempfile.gettempdir()) / "nearfar-train"
MODELS = Path(__file__).resolve().parents[1]


def checkpoint_path(task: str, model: str) -> Path:
    """The checkpoint of a training run, whole or cut off."""
    return WORKSPACE / "checkpoints" / f"{task}-{model}.pt"

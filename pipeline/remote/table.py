"""The table [place]: where the stages run."""

from pathlib import Path

from pydantic import Field

from watchline.pipeline.remote.placed import place_of, placed
from watchline.pipeline.stages.stage import Stage
from watchline.settings import settings

WHERE = "thread, process or tcp://host:port"


@settings
class Places:
    """Puts stages where they shall run: `stage = places(stage)`."""

    detector: str = Field(default="thread", description=WHERE)
    annotator: str = Field(default="thread", description=WHERE)
    key: Path | None = Field(default=None, description="file of this host's secret key, for tcp")
    peer: Path | None = Field(default=None, description="file of the other host's public key, for tcp")

    def __call__(self, stage: Stage) -> Stage:
        """The stage itself, or what stands here for it.

        Raises:
            ConfigError: its place is none, or the keys for it are missing or cannot be read.
        """
        words = {"detector": self.detector, "annotator": self.annotator}
        word = words.get(stage.name, "thread")
        keys = (self.key, self.peer) if word.startswith("tcp:") else (None, None)
        return placed(stage, place_of(word, *keys))

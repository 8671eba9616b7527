"""The table [place]: where the stages run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from watchline.pipeline.errors import ConfigError
from watchline.pipeline.remote.placed import place_of, placed
from watchline.pipeline.stages.stage import Stage

WHERE = "thread, process or tcp://host:port"
KEYS = {
    "key": "file of this host's secret key, for tcp",
    "peer": "file of the other host's public key, for tcp",
}


@dataclass(frozen=True)
class Places:
    """The settings of the table.

    Attributes:
        words: of the stages that do not run in a thread, by name: thread, process or tcp://host:port.
        key, peer: files of our secret key and of the other host's public one, for tcp.
    """

    words: Mapping[str, str] = field(default_factory=dict)
    key: Path | None = None
    peer: Path | None = None

    def is_another_host(self, stage: Stage) -> bool:
        """Whether a stage runs where what it needs is to be found, and not here."""
        return self.words.get(stage.name, "thread").startswith("tcp:")

    def put(self, stages: Sequence[Stage]) -> list[Stage]:
        """The stages of a chain, each at its place.

        Raises:
            ConfigError: a word is not a place, or its keys are missing or cannot be read. It names all mistakes.
        """
        there: list[Stage] = []
        mistakes: list[str] = []
        for stage in stages:
            word = self.words.get(stage.name, "thread")
            keys = (self.key, self.peer) if self.is_another_host(stage) else (None, None)
            try:
                there.append(placed(stage, place_of(word, *keys), there))
            except ConfigError as error:
                there.append(stage)
                mistakes += str(error).splitlines()
        if mistakes:
            raise ConfigError("\n".join(mistakes))
        return there

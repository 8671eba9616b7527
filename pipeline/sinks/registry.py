"""The sinks that a config names by `[sinks.NAME]`; one of your own says `use = "module:Class"`. (The files of each
stream are always written where the config says `out`.)
"""

from collections.abc import Mapping

from watchline.pipeline.sinks.hourly import Hourly
from watchline.pipeline.sinks.jsonl import Jsonl
from watchline.pipeline.sinks.mot import Mot
from watchline.pipeline.sinks.sink import Sink

SINKS: Mapping[str, type[Sink]] = {"hourly": Hourly, "jsonl": Jsonl, "mot": Mot}

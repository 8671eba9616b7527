"""Why frames are dropped, as ledger, events and reports call it. Readers and stages add causes of their own."""

NEWER = "newer"  # a newer frame of its camera took its place in the mailbox
LATE = "late"  # it was older than the latency budget
FAILED = "failed"  # a stage failed on it, or its stream was given up
STOPPED = "stopped"  # it was under way when the run ended
UNWRITTEN = "unwritten"  # a sink that must have it could not write it


def slow(sink: str) -> str:
    """Its stream's sink took so long that there was no room for it, or that it was too old."""
    return f"{sink} slow"


def lost(stage: str) -> str:
    """It was in the hands of a stage whose process or host is gone."""
    return f"{stage} lost"

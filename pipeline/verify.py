"""Are the outputs of a job still what was written? Each is hashed and compared with the manifest."""

from collections.abc import Iterator

from watchline.pipeline.fingerprint import sha256
from watchline.pipeline.manifest import DONE, Manifest, Output, Row


def verified(manifest: Manifest) -> Iterator[tuple[Row, list[str]]]:
    """Every file that is done, with a line for each of its outputs that is missing or has other bytes. The next job
    does those files again.
    """
    for row in manifest.rows(DONE):
        wrong = [f"{each.path}: {why}" for each in manifest.outputs(row) if (why := _why_wrong(manifest, each))]
        if wrong:
            manifest.damage(row)
        yield row, wrong


def _why_wrong(manifest: Manifest, output: Output) -> str:
    path = manifest.folder / output.path
    try:
        size = path.stat().st_size
        if size != output.bytes:
            return f"it has {size} bytes: expected {output.bytes}"
        return "" if sha256(path) == output.sha256 else "its bytes are not those that were written"
    except OSError as error:
        return f"it cannot be read: {error.strerror}"

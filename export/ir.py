"""An ONNX file of ours as OpenVINO's own pair of files: the graph in an .xml, the weights in a .bin beside it.

Loads faster than the ONNX, and is what OpenVINO's other tools take. Numbers are those of the ONNX run by OpenVINO.
"""

from pathlib import Path
from tempfile import TemporaryDirectory

from watchline.engines import metadata
from watchline.engines.checked import first_line
from watchline.export.errors import ExportFailed, ExportRefused


def save(file: Path, out: Path) -> None:
    """Write `out` (.xml) and the .bin beside it.

    Args:
        file: an ONNX under the contract of engines, with metadata.
        out: whose suffix is .xml; files of that name are replaced when all is written.

    Raises:
        ExportRefused: openvino is not installed.
        ExportFailed: OpenVINO does not take the graph.
    """
    try:
        import openvino

        from watchline.engines import open_vino
    except ImportError as error:
        raise ExportRefused(f"{out}: openvino is not installed ({error}): pip install 'watchline[openvino]'") from error
    about = metadata.read(file)
    try:
        model = openvino.Core().read_model(str(file))
    except RuntimeError as error:
        raise ExportFailed(f"{file}: openvino {open_vino.VERSION} does not take it: {first_line(error)}") from error
    open_vino.embed(model, about)
    with TemporaryDirectory(dir=out.parent, prefix=f".{out.stem}-") as folder:
        part = Path(folder) / out.name
        openvino.save_model(model, str(part), compress_to_fp16=False)  # the precision is the graph's own
        part.with_suffix(".bin").replace(out.with_suffix(".bin"))
        part.replace(out)

"""A fake of ONNX Runtime's CUDA provider: sessions that compute on the CPU and enforce the GPU's rules.

    engine = OnnxCudaEngine(Path("model.onnx"), device=fake_device())

It is for tests of everything around a session: buffers, copies, graphs, clean-up. It says nothing about speed. A run
that does not wait is done when its stream is synchronised. A graph that runs with other buffers than the ones that it
was recorded with raises BrokenRule (fake_gpu.py).
"""

from typing import Any

import onnxruntime as ort
from fake_gpu import BrokenRule, FakeCuda

from watchline.engines.nvidia.find_cuda import Device

MEMORY = "cpu"  # the fake's device memory is the host's


def fake_device(name: str = "Fake GPU", memory: int = 1 << 30, opens: bool = True, captures: bool = True) -> Device:
    """Make a device to run sessions on.

    Args:
        name: of the GPU.
        memory: bytes of the device.
        opens: whether a session that records graphs can be opened.
        captures: whether the runs of such a session can be recorded.
    """
    cuda = FakeCuda(memory)

    def open_session(*arguments: Any, providers: list[Any], **options: Any) -> FakeSession:
        [(_, wanted), _] = providers
        graphs = wanted["enable_cuda_graph"] == "1"
        if graphs and not opens:
            raise RuntimeError("This session cannot use the graph capture feature as requested by the user")
        session = ort.InferenceSession(*arguments, providers=["CPUExecutionProvider"], **options)
        return FakeSession(session, cuda, int(wanted["user_compute_stream"]), graphs, captures)

    return Device(name, "CPUExecutionProvider", MEMORY, cuda, open_session)


class FakeSession:
    """A session on a stream.

    Args:
        session: the real session, which computes.
        cuda, stream: where its runs are put.
        graphs, captures: see `fake_device`.
    """

    def __init__(
        self, session: ort.InferenceSession, cuda: FakeCuda, stream: int, graphs: bool, captures: bool
    ) -> None:
        self._session, self._cuda, self._stream = session, cuda, stream
        self._graphs, self._captures = graphs, captures
        self._recorded: dict[str, ort.IOBinding] = {}

    def get_providers(self) -> list[str]:
        """The providers that run."""
        return list(self._session.get_providers())

    def io_binding(self) -> ort.IOBinding:
        """A binding for real memory."""
        return self._session.io_binding()

    def run_with_iobinding(self, binding: ort.IOBinding, options: ort.RunOptions) -> None:
        """Put the run on the stream, and wait for it if the options say so."""
        graph = options.get_run_config_entry("gpu_graph_id")
        wait = options.get_run_config_entry("disable_synchronize_execution_providers") == "0"
        if self._graphs and graph != "-1":
            self._record(graph, binding)
        self._cuda.put(self._stream, lambda: self._session.run_with_iobinding(binding))
        if wait:
            self._cuda.synchronise(self._stream)

    def _record(self, graph: str, binding: ort.IOBinding) -> None:
        if not self._captures:
            raise RuntimeError("CUDA failure 900: operation not permitted when stream is capturing")
        if self._recorded.setdefault(graph, binding) is not binding:
            raise BrokenRule(f"graph {graph} runs with other buffers than it was recorded with")

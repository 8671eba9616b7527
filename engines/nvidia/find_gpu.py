"""Finds the GPU of this machine for TensorRT, or says what is missing.

The driver is asked before TensorRT is used: TensorRT without a driver ends the process instead of raising.
"""

from watchline.engines.errors import RuntimeUnavailable
from watchline.engines.nvidia.cuda_driver import NoDriver, ask
from watchline.engines.nvidia.interface import Gpu
from watchline.extras import command


def find_gpu() -> Gpu:
    """The first GPU that the driver shows. CUDA_VISIBLE_DEVICES decides which one that is.

    Raises:
        RuntimeUnavailable: there is no driver or no GPU, or TensorRT or CUDA's bindings are missing or too old.
    """
    try:
        driver = ask()
    except NoDriver as error:
        raise RuntimeUnavailable(f"TensorRT needs an NVIDIA GPU: {error}") from error
    if not driver.gpus:
        raise RuntimeUnavailable(
            f"TensorRT needs an NVIDIA GPU: the driver ({driver.version}) shows none; see CUDA_VISIBLE_DEVICES"
        )
    try:
        from watchline.engines.nvidia.real import real
    except ImportError as error:
        raise RuntimeUnavailable(
            f"the runtime tensorrt cannot be imported ({error}); install it: {command('tensorrt')}"
        ) from error
    return real(driver.gpus[0].name)

"""Runs plan_builder.py with tensorrt_rtx in place of tensorrt, as a script: see nvidia_builder.py.

The two have the same API. tensorrt_rtx also builds without a GPU, if the compute capabilities are set.
"""

import os
import sys
import warnings
from types import ModuleType
from typing import Any

sys.path.append(os.environ.get("WATCHLINE_NVIDIA", ""))
rtx: Any = __import__("tensorrt_rtx")


class Builder(rtx.Builder):
    """Builds ahead of time, for the L4 and the RTX 40."""

    def create_builder_config(self) -> Any:
        config = super().create_builder_config()
        config.num_compute_capabilities = 1
        config.set_compute_capability(rtx.ComputeCapability.SM89, 0)
        return config


tensorrt = ModuleType("tensorrt")
tensorrt.__dict__.update(rtx.__dict__ | {"Builder": Builder})
sys.modules["tensorrt"] = tensorrt
warnings.simplefilter("ignore", DeprecationWarning)  # the bindings warn when a subclass of theirs is deleted

if __name__ == "__main__":
    from watchline.engines.nvidia.plan_builder import serve

    serve()

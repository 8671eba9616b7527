"""Nothing calls home: what the libraries report to their vendors is switched off before they are imported."""

import os
import sys

# ONNX Runtime asks for this when it is imported; child processes inherit it.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

# `import openvino` reports by a package of this name, and goes on without where that cannot be imported.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]

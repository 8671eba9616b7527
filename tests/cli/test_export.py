"""`watchline export` as a user types it: real checkpoints of small networks, their models run, and what is refused."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import darknet_nets
import numpy as np
import onnx
import pytest
import torch
import voc_set
from cli.shell import Done, watchline, within
from clips import write_clip
from models_onnx import save, tiny_detector, without_metadata
from nvidia_builder import installed
from onnx import numpy_helper

from watchline.engines import load, metadata
from watchline.models.fcn_resnet import FCNResNet
from watchline.models.yolov2 import YOLOv2

NET = darknet_nets.cfg(darknet_nets.conv(8) + darknet_nets.section("maxpool", size=2, stride=2) + darknet_nets.conv(16))
NAMES = "cat\ndog\nbird\n"


@pytest.fixture
def darknet(tmp_path: Path) -> Path:
    """A folder with a Darknet checkpoint, its class names and a clip."""
    darknet_nets.write(tmp_path, NET)
    (tmp_path / "net.names").write_text(NAMES)
    write_clip(tmp_path / "clip.mp4", 12)
    return tmp_path


@pytest.fixture(scope="module")
def yolov2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a checkpoint of our own training, of seeded weights, and a clip."""
    folder = tmp_path_factory.mktemp("yolov2")
    torch.manual_seed(0)
    model = YOLOv2(torch.tensor([[1.0, 2.0], [4.0, 4.0]]))
    torch.save({"model": model.state_dict(), "priors": model.priors}, folder / "checkpoint.pt")
    write_clip(folder / "clip.mp4", 30, (96, 64))
    return folder


def export(folder: Path, words: str) -> Done:
    return within(folder, "export", *words.split())


def test_darknet_to_annotated_video_in_two_commands(darknet: Path) -> None:
    done = watchline("export", "net.cfg", "net.weights", "-o", "net.onnx", "--labels", "net.names", cwd=darknet)
    assert (done.code, done.err) == (0, [])
    assert done.out[0] == "net.cfg + net.weights: detects 3 classes at 64 pixels"
    assert done.out[1].startswith("net.onnx: fp32, 0.0 MB, ")
    assert done.out[2] == "next: watchline annotate VIDEO --model net.onnx"
    done = watchline("annotate", "clip.mp4", "--model", "net.onnx", "--conf", "0.01", "--no-video", cwd=darknet)
    assert done.code == 0, done.err
    header, *lines, _ = map(json.loads, (darknet / "annotated" / "clip.jsonl").read_text().splitlines())
    assert header["header"]["model"]["name"] == "net"
    assert len(lines) == 12
    assert {found["label"] for line in lines for found in line["detections"]} <= {"cat", "dog", "bird"}


def test_the_two_files_may_come_in_either_order(darknet: Path) -> None:
    assert export(darknet, "net.cfg net.weights -o a.onnx --labels net.names").code == 0
    assert export(darknet, "net.weights net.cfg -o b.onnx --labels net.names").code == 0
    a, b = (onnx.load(darknet / name) for name in ("a.onnx", "b.onnx"))
    assert a.graph == b.graph


@pytest.mark.parametrize(("words", "size", "said"), [("96", (96, 96), "96"), ("96x64", (96, 64), "96 x 64")])
def test_the_size_is_the_one_asked_for(darknet: Path, words: str, size: tuple[int, int], said: str) -> None:
    done = export(darknet, f"net.cfg net.weights -o net.onnx --labels net.names --imgsz {words}")
    assert done.code == 0
    assert done.out[0].endswith(f"detects 3 classes at {said} pixels")
    with load(darknet / "net.onnx") as engine:
        assert engine.size == size


def test_pictures_are_stretched_if_that_is_how_it_was_trained(darknet: Path) -> None:
    for name, words in {"own": "", "asked": "--resize stretch"}.items():
        assert export(darknet, f"net.cfg net.weights -o {name}.onnx --labels net.names {words}").code == 0
    assert metadata.read(darknet / "own.onnx").resize == "letterbox-darknet"
    assert metadata.read(darknet / "asked.onnx").resize == "stretch"


def test_a_checkpoint_of_our_own_training(yolov2: Path) -> None:
    done = export(yolov2, "checkpoint.pt -o ours.onnx --imgsz 64")
    assert (done.code, done.err) == (0, [])
    assert done.out[0] == "checkpoint.pt: detects 20 classes at 64 pixels"
    assert metadata.read(yolov2 / "ours.onnx").labels[14] == "person"


def test_an_onnx_detector_of_a_family(tmp_path: Path) -> None:
    """YOLOX's raw grid: box and objectness and class scores of each cell of strides 8, 16 and 32."""
    save(yolox(), tmp_path, "raw.onnx")
    done = export(tmp_path, "raw.onnx -o out.onnx --family yolox")
    assert (done.code, done.err) == (0, [])
    with load(tmp_path / "out.onnx") as engine:
        outputs = engine.infer(np.zeros((1, 64, 64, 3), np.uint8))
    assert outputs["boxes"].shape == (1, 84, 4)  # 8 x 8 + 4 x 4 + 2 x 2
    assert outputs["scores"].shape == (1, 84, 80)


def yolox() -> onnx.ModelProto:
    """The form of YOLOX's output, (1, 84, 85) for 64 x 64 pixels, from one convolution."""
    node, tensor = onnx.helper.make_node, onnx.numpy_helper.from_array
    rng = np.random.default_rng(0)
    nodes = [node("GlobalAveragePool", ["images"], ["mean"])]
    nodes += [node("Conv", ["mean", "weight"], ["row"]), node("Sigmoid", ["row"], ["s"])]
    nodes += [node("Reshape", ["s", "shape"], ["flat"]), node("Expand", ["flat", "rows"], ["output"])]
    graph = onnx.helper.make_graph(
        nodes,
        "yolox",
        [onnx.helper.make_tensor_value_info("images", onnx.TensorProto.FLOAT, [1, 3, 64, 64])],
        [onnx.helper.make_tensor_value_info("output", onnx.TensorProto.FLOAT, [1, 84, 85])],
        [
            tensor(rng.normal(0, 0.1, (85, 3, 1, 1)).astype(np.float32), "weight"),
            tensor(np.array([1, 1, 85]), "shape"),
            tensor(np.array([1, 84, 85]), "rows"),
        ],
    )
    return onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)


@pytest.mark.parametrize("target", ["onnx", "openvino"])
@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_precisions_give_nearly_the_same_boxes(yolov2: Path, precision: str, target: str) -> None:
    suffix = {"onnx": ".onnx", "openvino": ".xml"}[target]
    assert export(yolov2, "checkpoint.pt -o full.onnx --imgsz 64").code == 0
    calibrate = "--calibrate clip.mp4" if precision == "int8" else ""
    done = export(yolov2, f"checkpoint.pt -o small{suffix} --imgsz 64 --precision {precision} {calibrate}")
    assert done.code == 0, done.err
    batch = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), np.uint8)
    with load(yolov2 / "full.onnx") as full, load(yolov2 / f"small{suffix}") as small:
        assert small.metadata.labels == full.metadata.labels
        a, b = full.infer(batch), small.infer(batch)
    assert np.abs(a["boxes"] - b["boxes"]).max() < {"fp16": 0.5, "int8": 8}[precision]
    assert np.abs(a["scores"] - b["scores"]).max() < {"fp16": 0.01, "int8": 0.1}[precision]


@pytest.mark.parametrize("target", ["small.onnx", "small.xml"])
def test_a_model_of_ours_is_made_again_in_int8(yolov2: Path, target: str) -> None:
    assert export(yolov2, "checkpoint.pt -o full.onnx --imgsz 64").code == 0
    done = export(yolov2, f"full.onnx -o {target} --precision int8 --calibrate clip.mp4")
    assert done.code == 0, done.err
    with load(yolov2 / "full.onnx") as full, load(yolov2 / target) as small:
        assert (small.metadata.labels, small.metadata.name) == (full.metadata.labels, "small")
    if target.endswith(".onnx"):
        assert any("QuantizeLinear" in node.op_type for node in onnx.load(yolov2 / target).graph.node)
        again = export(yolov2, f"{target} -o more.onnx --precision int8 --calibrate clip.mp4")
        assert "small.onnx: its layers are in INT8 already; name the model in FP32" in again.err[-1]


def test_a_mask_r_cnn_that_ships_looks_at_several_sizes(tmp_path: Path) -> None:
    done = export(tmp_path, "mask-rcnn-lite0 --imgsz 64 --scales 0.5,1 -o two.onnx")
    assert done.code == 0, done.err
    assert done.out[0] == "mask-rcnn-lite0: masks objects of 1 classes at 64 pixels"
    with load(tmp_path / "two.onnx") as engine:
        assert (engine.size, engine.metadata.labels) == ((64, 64), ("person",))
    for words in ("net.cfg --scales 0.5,1,x", "net.cfg --scales 0.5,5"):
        assert "expected at most 8 numbers from 0.25 to 4, e.g. 0.75,1,1.25" in export(tmp_path, words).err[-1]


def test_a_model_that_ships_is_named_as_everywhere(tmp_path: Path) -> None:
    write_clip(tmp_path / "clip.mp4", 2, (64, 64))
    done = export(tmp_path, "yolov2-slim --precision int8 --calibrate clip.mp4 --imgsz 64")
    assert "yolov2-slim: it is a Watchline model, in which --imgsz is settled: leave it out" in done.err[-1]
    done = export(tmp_path, "yolov2-slim --scales 0.5,1")
    assert "yolov2-slim: it is a Watchline model, in which --scales is settled: leave it out" in done.err[-1]
    done = export(tmp_path, "yolov2-slim --to openvino")
    assert done.code == 0, done.err
    assert done.out[0] == "yolov2-slim: detects 20 classes at 416 pixels"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["clip.mp4", "yolov2-slim.bin", "yolov2-slim.xml"]
    done = export(tmp_path, "yolov2-slim")
    assert "yolov2-slim: it is a Watchline model, and runs as it is" in done.err[-1]


def test_the_suffix_says_what_it_is_for(yolov2: Path) -> None:
    assert export(yolov2, "checkpoint.pt -o by_suffix.xml --imgsz 64").code == 0
    assert sorted(path.name for path in yolov2.glob("by_suffix*")) == ["by_suffix.bin", "by_suffix.xml"]
    done = watchline("annotate", "clip.mp4", "--model", "by_suffix.xml", "--no-video", cwd=yolov2)
    assert done.code == 0, done.err


@pytest.fixture
def seeing(tmp_path: Path) -> Path:
    """A folder with a Darknet network that finds pure red, green and blue cells, and a data set of such."""
    sections = darknet_nets.section
    first = sections("convolutional", filters=8, size=8, stride=8, pad=0, activation="relu")
    last = sections("convolutional", filters=8, size=1, stride=1, pad=0, activation="linear")
    region = sections("region", anchors="1,1", num=1, classes=3, coords=4, softmax=1)
    (tmp_path / "net.cfg").write_text(sections("net", width=64, height=64, channels=3) + first + last + region)
    look = np.full((8, 3, 8, 8), -10 / 64)
    look[[0, 1, 2], [0, 1, 2]] = 20 / 64  # RGB: person, bicycle, car
    say = np.zeros((8, 8))
    say[4], say[5:] = 2, np.eye(3, 8)
    numbers = [np.zeros(8), look, np.array([0.0] * 4 + [-10.0] + [0.0] * 3), say]
    data = b"".join(array.astype("<f4").tobytes() for array in numbers)
    (tmp_path / "net.weights").write_bytes(darknet_nets.header() + data)
    (tmp_path / "net.names").write_text("person\nbicycle\ncar\n")
    for number in range(4):
        voc_set.add(tmp_path / "voc", f"p{number}", [("person", number, 1), ("car", 4, number)])
    voc_set.split(tmp_path / "voc", "val", [f"p{number}" for number in range(4)])
    for folder, colours in {"bright": [(0, 0, 255), (255, 0, 0)], "dark": [(0, 0, 3), (3, 0, 0)]}.items():
        (tmp_path / folder).mkdir()
        for number in range(24):
            cells = np.full((64, 64, 3), colours[number % len(colours)], np.uint8)
            cv2.imwrite(str(tmp_path / folder / f"{number}.png"), cells)
    return tmp_path


def test_what_a_precision_costs_is_printed_by_class(seeing: Path) -> None:
    words = "net.cfg net.weights -o net.onnx --labels net.names --precision int8 --calibrate bright --data voc"
    done = export(seeing, f"{words} --max-drop 0.01")
    assert done.code == 0, done.err
    table = "\n".join(done.out)
    for row in ("person", "car", "mean"):
        assert re.search(rf"{row}\W+\d\W+1\.000\W+1\.000\W+0\.000", table), table


def test_a_precision_that_costs_too_much_writes_nothing(seeing: Path) -> None:
    """Calibrated in the dark, it takes no light for more than black."""
    words = "net.cfg net.weights -o net.onnx --labels net.names --precision int8 --calibrate dark --data voc"
    done = export(seeing, f"{words} --max-drop 0.01")
    assert done.code == 1
    assert "int8 loses 1.000 mAP on voc, more than --max-drop 0.01; nothing was written" in done.err[-1]
    assert not (seeing / "net.onnx").exists()


def test_data_that_cannot_be_measured_on_is_told_before_the_work(darknet: Path) -> None:
    (darknet / "net.cfg").unlink()  # the checkpoint is not even looked at
    done = export(darknet, "net.cfg net.weights -o net.onnx --precision fp16 --data none")
    assert done.code == 2
    assert "none: there is no such folder; expected labelled pictures" in done.err[-1]


@pytest.mark.parametrize("kind", ["torch", "onnx"])
def test_weights_that_are_no_numbers_are_refused(tmp_path: Path, kind: str) -> None:
    if kind == "torch":
        priors = torch.tensor([[1.0, 2.0]])
        state = YOLOv2(priors).state_dict()
        state["region.weight"][0, 0] = torch.nan
        torch.save({"model": state, "priors": priors}, tmp_path / "net.pt")
        done = export(tmp_path, "net.pt -o net.onnx")
    else:
        model = without_metadata(tiny_detector())
        [weight] = [tensor for tensor in model.graph.initializer if tensor.name == "weight"]
        weight.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weight) * np.float32(np.nan), "weight"))
        save(model, tmp_path, "theirs.onnx")
        done = export(tmp_path, "theirs.onnx -o net.onnx --family yolox")
    assert done.code == 2
    assert re.search(r"its .* holds NaN.* take an earlier checkpoint", done.err[-1])


def test_int8_for_tensorrt_needs_no_gpu_as_an_onnx(yolov2: Path) -> None:
    words = "checkpoint.pt -o rt.onnx --to tensorrt --imgsz 64 --precision int8 --calibrate clip.mp4"
    done = export(yolov2, words)
    assert done.code == 0
    assert done.out[-1] == "next: watchline annotate VIDEO --model rt.onnx --runtime tensorrt"
    graph = onnx.load(yolov2 / "rt.onnx").graph
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    zeros = [constants[node.input[2]] for node in graph.node if node.op_type == "QuantizeLinear"]
    assert zeros
    assert all(zero.dtype == np.int8 and not zero.any() for zero in zeros)


def test_a_segmenter_says_what_it_is_good_for(tmp_path: Path) -> None:
    torch.save(FCNResNet(50, 21).state_dict(), tmp_path / "fcn.pth")
    done = export(tmp_path, "fcn.pth -o fcn.onnx --imgsz 64")
    assert done.code == 0
    assert done.out[-1] == "next: watchline annotate VIDEO --segment fcn.onnx"


def test_a_segmenter_is_not_measured_on_boxes(tmp_path: Path) -> None:
    voc_set.add(tmp_path / "voc", "p", [("person", 1, 1)])
    torch.save(FCNResNet(50, 21).state_dict(), tmp_path / "fcn.pth")
    done = export(tmp_path, "fcn.pth -o fcn.onnx --imgsz 64 --precision fp16 --data voc")
    assert done.code == 2
    assert done.err == ["watchline: fcn.pth: its task is to segment, and --data measures detectors; leave that out"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("", "name a checkpoint"),
        ("net.cfg net.weights -o net.engine --to onnx", "a model for onnx ends on .onnx"),
        pytest.param(
            "net.cfg net.weights -o net.engine",
            "to an .onnx, take that there, and run it by --runtime tensorrt",
            marks=pytest.mark.skipif(installed("tensorrt"), reason="TensorRT is here, plans can be built"),
        ),
        ("net.cfg net.weights -o none/net.onnx", "there is no folder none"),
        ("net.cfg net.weights -o /proc/net.onnx --labels net.names", "/proc/net.onnx: it cannot be written"),
        ("net.cfg net.weights -o folder.onnx", "folder.onnx: it is a folder; name the file"),
        (".", "it is a folder; name the checkpoint inside"),
        ("net.cfg net.weights -o net.onnx --precision int8", "--precision int8 and --calibrate PATH… go together"),
        ("net.cfg net.weights -o net.onnx --calibrate clip.mp4", "--precision int8 and --calibrate PATH… go together"),
        ("net.cfg net.weights -o net.onnx --max-drop 0.01", "name them with --data DIR"),
        ("net.cfg net.weights -o net.onnx --data voc", "`watchline bench map` measures a model"),
        ("net.cfg net.weights -o net.onnx --max-drop 2", "expected a number in 0..1"),
        ("net.cfg net.weights -o net.onnx --batch 8", "--batch is the largest batch of a TensorRT plan"),
        ("net.cfg net.weights -o net.onnx --imgsz 71 --labels net.names", "multiple"),
        ("net.cfg net.weights -o net.onnx", "--labels"),
        ("net.cfg net.weights -o net.onnx --labels clip.mp4", "clip.mp4: it"),
        ("net.cfg -o net.onnx", "without numbers; name its .weights"),
        ("net.weights -o net.onnx", "without a network; name its .cfg"),
        ("none.pth -o net.onnx", "none.pth: there is no such file"),
        ("clip.mp4 -o net.onnx", "clip.mp4: it is a video"),
        ("net.cfg net.weights -o net.onnx --family yolox", "an ONNX detector has a family, 'yolox'; this is darknet"),
        ("net.cfg net.weights -o net.onnx --arch ssd300_vgg16", "this is darknet"),
    ],
)
def test_what_cannot_be_is_told_in_a_line_and_writes_nothing(darknet: Path, words: str, message: str) -> None:
    (darknet / "folder.onnx").mkdir()
    before = sorted(path.name for path in darknet.iterdir())
    done = export(darknet, words)
    assert done.code == 2
    assert message in done.err[-1]
    assert sorted(path.name for path in darknet.iterdir()) == before


def test_the_checkpoint_itself_is_never_written_over(tmp_path: Path) -> None:
    path = save(without_metadata(tiny_detector()), tmp_path, "net.onnx")
    before = path.read_bytes()
    done = export(tmp_path, "net.onnx --family yolox")  # the default output would be net.onnx
    assert done.code == 2
    assert "net.onnx would be written over the checkpoint itself; name another file: -o NAME.onnx" in done.err[-1]
    assert path.read_bytes() == before


def test_a_model_of_ours_needs_no_export(tmp_path: Path) -> None:
    save(tiny_detector(), tmp_path)
    done = export(tmp_path, "tiny.onnx -o other.onnx")
    assert done.code == 2
    assert "Watchline" in done.err[-1]


def test_a_full_disk_is_told_in_a_line(darknet: Path, small_disk: Callable[[str], Path]) -> None:
    disk = small_disk("4k")
    done = export(darknet, f"net.cfg net.weights -o {disk}/net.onnx --labels net.names")
    assert done.code == 2
    assert "net.onnx: it cannot be written (No space left on device)" in done.err[-1]
    assert not list(disk.iterdir())


def test_no_photo_is_a_checkpoint(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.jpg"), np.zeros((8, 8, 3), np.uint8))
    assert "a JPEG picture" in export(tmp_path, "a.jpg -o a.onnx").err[-1]


@pytest.mark.parametrize("allowed", [8, 16, 24])
def test_few_descriptors_are_told_in_a_line(tmp_path: Path, allowed: int) -> None:
    words = ["bash", "-c", f"ulimit -n {allowed}; exec {sys.executable} -m watchline annotate a.png --out out"]
    done = subprocess.run(words, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr == "watchline: too few files may be open at once; allow more, e.g. `ulimit -n 4096`\n"

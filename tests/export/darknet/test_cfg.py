"""What a .cfg may say, and the one line that answers what it may not."""

import darknet_nets as nets
import libdarknet
import pytest

from watchline.export.darknet import cfg as darknet_cfg
from watchline.export.darknet import layout as darknet_layout
from watchline.export.darknet.cfg import Convolutional, Maxpool, Region, Route, Yolo
from watchline.export.errors import CheckpointNotFound, CheckpointRefused, ExportRefused

BODY = nets.conv(8) + nets.section("maxpool", size=2, stride=2)


def layers(tmp_path, text):
    (tmp_path / "net.cfg").write_text(text)
    return darknet_cfg.read(tmp_path / "net.cfg").layers


def plan(tmp_path, text, size=None):
    (tmp_path / "net.cfg").write_text(text)
    return darknet_layout.plan(darknet_cfg.read(tmp_path / "net.cfg"), size)


def test_defaults_are_darknets(tmp_path):
    text = "[net]\nwidth=8\nheight=8\n[convolutional]\n[maxpool]\nstride=2\n[convolutional]\nsize=5\npad=1\npadding=9\n"
    first, pool, second, head = layers(tmp_path, text + "[region]\nanchors=1,1\n")
    assert isinstance(first, Convolutional)
    assert (first.filters, first.size, first.stride, first.padding, first.groups) == (1, 1, 1, 0, 1)
    assert (first.activation, first.batch_normalize) == ("logistic", False)
    assert isinstance(pool, Maxpool)
    assert (pool.size, pool.stride, pool.padding) == (2, 2, 1)
    assert second.padding == 2, "`pad` beats `padding`"
    assert isinstance(head, Region)
    assert (head.classes, head.softmax, head.anchors) == (20, False, ((1.0, 1.0),))


def test_white_space_comments_and_repeated_keys(tmp_path):
    text = "\ufeff# made by hand\r\n\r\n[ net ]\r\n width = 8 ; pixels\r\nheight=8\r\nbatch=64 # photos\n;old\n"
    text += "[convolutional]\nfilters = 1 6\nfilters=99\nsize=1\n[route]\nlayers = -1 , 0,\n"
    first, route, head = layers(tmp_path, text + "[yolo]\nanchors = 1,2,  3,4\nnum=2\nmask = 1\n")
    assert first.filters == 16
    assert isinstance(route, Route)
    assert route.layers == (-1, 0)
    assert isinstance(head, Yolo)
    assert head.anchors == ((3.0, 4.0),)


@pytest.mark.skipif(not libdarknet.CONFIGS.exists(), reason=libdarknet.MISSING)
@pytest.mark.parametrize(
    ("name", "count", "stride", "heads"),
    [
        ("yolov2", 32, 32, 1),
        ("yolov2-voc", 32, 32, 1),
        ("yolov2-tiny", 16, 32, 1),
        ("yolov3", 107, 32, 3),
        ("yolov3-tiny", 24, 32, 2),
        ("yolov3-spp", 114, 32, 3),
        ("yolov3-openimages", 107, 32, 3),
    ],
)
def test_darknets_own_files(name, count, stride, heads):
    laid = darknet_layout.plan(darknet_cfg.read(libdarknet.CONFIGS / f"{name}.cfg"))
    assert (len(laid.steps), laid.stride, laid.free) == (count, stride, True)
    assert sum(step.shape is None for step in laid.steps) == heads


@pytest.mark.skipif(not libdarknet.CONFIGS.exists(), reason=libdarknet.MISSING)
@pytest.mark.parametrize("name", ["darknet19", "alexnet", "yolov1", "resnet50", "rnn"])
def test_what_is_no_detector_is_refused(name):
    with pytest.raises(CheckpointRefused, match=r"no \[region\] and no \[yolo\], so it is a classifier or older"):
        darknet_cfg.read(libdarknet.CONFIGS / f"{name}.cfg")


REFUSED = {
    "nothing": ("", "begins with nothing; expected a Darknet .cfg, whose first section is .net."),
    "no net": (BODY, r"begins with \[convolutional\]; expected"),
    "prose": ("This is a README.\n", r"line 1: it reads 'This is a README.'; expected \[section\], key=value"),
    "broken line": (nets.cfg(BODY + "[route\n"), r"line \d+: it reads '\[route'; expected"),
    "no value": (nets.cfg(BODY + "[route]\nlayers=\n"), r"line \d+: it reads 'layers='; expected"),
    "page": ("<!DOCTYPE html>\n<html>404</html>", "holds an HTML or XML page, as a failed download leaves behind"),
    "unknown section": (nets.cfg(BODY + "[connected]\noutput=5\n"), r"line 17, \[connected\]: such a layer cannot"),
    "unknown key": (nets.cfg(nets.conv(8, dilatation=2)), r"line 14, \[convolutional\]: unknown key `dilatation=2`"),
    "tree": (nets.cfg(BODY, nets.REGION + "tree=9k.tree\n"), r"\[region\]: unknown key `tree=9k.tree`"),
    "dilation": (nets.cfg(nets.conv(8, dilation=2)), "`dilation` is '2'; expected 1, as nothing else"),
    "binary": (nets.cfg(nets.conv(8, binary=1)), "`binary` is '1'; expected 0"),
    "not loaded": (nets.cfg(nets.conv(8, dontload=1)), "`dontload` is '1'; expected 0"),
    "activation": (nets.cfg(nets.conv(8, activation="gelu")), "`activation` is 'gelu'; expected one of linear, leaky"),
    "word": (nets.cfg(nets.conv("many")), "`filters` is 'many'; expected whole numbers in 1..65536"),
    "huge": (nets.cfg(nets.conv(10**15)), "`filters` is '1000000000000000'; expected whole numbers in 1..65536"),
    "very long": (nets.cfg(nets.conv("9" * 5000)), "`filters` is '9{40}…'; expected"),
    "negative": (nets.cfg(nets.conv(8, stride=-1)), "`stride` is '-1'; expected"),
    "zero": (nets.cfg(nets.conv(8, size=0)), "`size` is '0'; expected"),
    "channels": (nets.cfg(BODY).replace("channels=3", "channels=1"), r"\[net\]: `channels` is '1'; expected 3"),
    "no width": (nets.cfg(BODY).replace("width=64\n", ""), "line 1, .net.: it has no `width`"),
    "width": (nets.cfg(BODY, width=60000), "the input is 60000 x 64; expected sides of 1..4096"),
    "pool first": (nets.cfg(nets.section("maxpool", size=2)), "it is the first layer; expected a .convolutional."),
    "groups first": (nets.cfg(nets.conv(9, groups=3)), "it is the first layer; expected"),
    "groups": (nets.cfg(BODY + nets.conv(9, groups=3)), "8 channels in and filters=9 cannot be split into groups=3"),
    "route ahead": (nets.cfg(BODY + "[route]\nlayers=5\n"), "reads layer 5 and is itself layer 2; expected -2..-1 or"),
    "route before": (nets.cfg(BODY + "[route]\nlayers=-3\n"), "reads layer -3 and is itself layer 2"),
    "route nowhere": (nets.cfg(BODY + "[route]\n"), "it has no `layers`"),
    "route of parts": (nets.cfg(BODY + "[route]\nlayers=-1\ngroups=3\n"), "8 channels cannot be split into groups=3"),
    "route part": (
        nets.cfg(BODY + "[route]\nlayers=-1\ngroups=2\ngroup_id=2\n"),
        "`group_id` is '2'; expected .* 0..1",
    ),
    "route sizes": (nets.cfg(BODY + "[route]\nlayers=-1,0\n"), "have 32 x 32 and 64 x 64 cells; expected the same"),
    "shortcut": (nets.cfg(BODY + "[shortcut]\nactivation=linear\n"), "it has no `from`"),
    "shortcut sizes": (nets.cfg(BODY + "[shortcut]\nfrom=0\n"), "have 32 x 32 and 64 x 64 cells"),
    "reorg": (nets.cfg(BODY + "[reorg]\nstride=3\n"), "reads 8 channels of 32 x 32 cells; expected channels that 9"),
    "reorg back": (nets.cfg(BODY + "[reorg]\nstride=2\nreverse=1\n"), "`reverse` is '1'; expected 0"),
    "upsample": (nets.cfg(BODY + "[upsample]\nstride=900\n"), "it gives 28800 x 28800 cells; expected at most 4096"),
    "padding": (nets.cfg(nets.conv(8, pad=0, padding=60000)), "it gives 120062 x 120062 cells; expected at most"),
    "window": (nets.cfg(nets.conv(8, 99, pad=0)), "its window of 99 does not fit into 64 x 64 cells"),
    "after a head": (nets.cfg(BODY, nets.YOLO + nets.conv(8)), r"it reads layer 3, which gives no feature map"),
    "head's channels": (nets.cfg(BODY).replace("classes=3", "classes=4"), "16 channels; expected 18, .* classes=4"),
    "no anchors": (nets.cfg(BODY, "[yolo]\nclasses=3\n"), "`anchors` holds 0 numbers; expected 2"),
    "anchors": (nets.cfg(BODY, nets.REGION.replace("num=2", "num=3")), "`anchors` holds 4 numbers; expected 6"),
    "anchor of 0": (nets.cfg(BODY, nets.REGION.replace("1.5", "0")), "`anchors` holds 4 numbers; expected 4 greater"),
    "anchor": (nets.cfg(BODY, nets.REGION.replace("1.5", "nan")), "`anchors` is '1,nan,3,2'; expected numbers"),
    "mask": (nets.cfg(BODY, nets.YOLO.replace("mask=1,2", "mask=1,3")), "`mask` is '1,3'; expected .* 0..2"),
    "deep": (nets.cfg(BODY + nets.section("dropout") * 5000), "it has 500. sections; expected up to 4096"),
    "Gaussian": (
        nets.cfg(BODY, nets.YOLO.replace("yolo", "Gaussian_yolo")),
        r"\[Gaussian_yolo\]: a head that tells how",
    ),
    "two scales": (nets.cfg(BODY, nets.YOLO + "scale_x_y=1,2\n"), "`scale_x_y` is '1,2'; expected one number"),
    "classes": (
        nets.cfg(
            BODY, nets.YOLO + "[route]\nlayers=-3\n" + nets.conv(14) + nets.YOLO.replace("classes=3", "classes=2")
        ),
        "its heads have 2 and 3 classes; expected the same",
    ),
}


@pytest.mark.parametrize(("text", "says"), REFUSED.values(), ids=REFUSED)
def test_a_wrong_cfg_gets_one_line(tmp_path, text, says):
    with pytest.raises(CheckpointRefused, match=says) as error:
        plan(tmp_path, text)
    assert str(tmp_path / "net.cfg") in str(error.value)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 400 + len(str(tmp_path))


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (nets.header() + bytes(4000), r"holds binary data; .*\(were .cfg and .weights swapped"),
        (bytes(range(1, 256)) * 10000, "holds binary data"),
        (b"PK\x03\x04" + bytes(100), "holds a ZIP archive or a PyTorch checkpoint"),
        (b"a=b\n" * (1 << 19), "holds text; expected a Darknet .cfg, which is text of at most 1 MB"),
    ],
)
def test_what_is_no_text(tmp_path, data, says):
    (tmp_path / "net.cfg").write_bytes(data)
    with pytest.raises(CheckpointRefused, match=says):
        darknet_cfg.read(tmp_path / "net.cfg")


def test_a_comment_in_any_encoding(tmp_path):
    (tmp_path / "net.cfg").write_bytes(b"# \xb2\xe2\xca\xd4\n" + nets.cfg(BODY).encode())
    assert len(darknet_cfg.read(tmp_path / "net.cfg").layers) == 4


def test_a_missing_cfg_and_a_folder(tmp_path):
    with pytest.raises(CheckpointNotFound, match=r"no such file; expected a Darknet \.cfg"):
        darknet_cfg.read(tmp_path / "none.cfg")
    with pytest.raises(CheckpointRefused, match="cannot be read"):
        darknet_cfg.read(tmp_path)


@pytest.mark.parametrize(
    ("body", "side", "stride", "free"),
    [
        (BODY, 64, 2, True),
        (BODY, 45, 1, False),
        (BODY + nets.section("upsample", stride=2), 64, 2, True),
        (BODY + nets.section("upsample", stride=4), 64, 2, True),
        (nets.conv(8, stride=3) + nets.section("maxpool", size=2, stride=2), 66, 6, True),
        (nets.conv(8, 4), 64, 1, False),  # an even kernel with padding adds a cell
        (BODY + nets.section("avgpool"), 64, 1, False),
        (BODY + nets.section("reorg", stride=2), 64, 4, True),
    ],
)
def test_which_sizes_work(tmp_path, body, side, stride, free):
    laid = plan(tmp_path, nets.cfg(body, width=side, height=side))
    assert (laid.stride, laid.free) == (stride, free)


def test_a_size_that_is_asked_for(tmp_path):
    assert plan(tmp_path, nets.cfg(BODY), (32, 32)).size == (32, 32)
    with pytest.raises(ExportRefused, match="asked for 33 x 32; expected multiples of 2 pixels"):
        plan(tmp_path, nets.cfg(BODY), (33, 32))
    with pytest.raises(ExportRefused, match=r"the input is 0 x 32; expected sides of 1\.\.4096"):
        plan(tmp_path, nets.cfg(BODY), (0, 32))

"""`watchline annotate --resume --ray ADDRESS`: a job on the machines of a Ray cluster, which come and go."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnx
import pytest
from cli.shell import Done, within
from clips import write_clip
from killed_jobs import hashes
from models_onnx import tiny_detector

from watchline.pipeline.crew import on_ray

os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
ray = pytest.importorskip("ray")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore"),  # of Ray's own
]
FILES = 12
STORE = 80 << 20  # bytes


def in_time(begin):
    """What begins. Ray gives a machine's own helpers 15 seconds for that, which other tests can take from them."""
    for _ in range(3):
        try:
            return begin()
        except Exception as error:
            late = error
    raise late


@pytest.fixture(scope="module")
def cluster() -> Iterator["ray.cluster_utils.Cluster"]:
    """A head that does nothing; machines are added by the tests."""
    from ray.cluster_utils import Cluster

    settings = {"num_cpus": 0, "object_store_memory": STORE, "include_dashboard": False}
    made = in_time(lambda: Cluster(initialize_head=True, head_node_args=settings))
    yield made
    made.shutdown()


@pytest.fixture
def machines(cluster) -> Iterator[list]:
    """Three, of one core each."""
    nodes = [in_time(lambda: cluster.add_node(num_cpus=1, object_store_memory=STORE)) for _ in range(3)]
    cluster.wait_for_nodes()
    yield nodes
    ray.shutdown()
    for node in nodes:
        if node in cluster.worker_nodes:
            cluster.remove_node(node, allow_graceful=False)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ray")
    (folder / "tree").mkdir()
    for number in range(FILES):
        grey = np.full((48, 64, 3), 60 + 5 * number, np.uint8)
        write_clip(folder / "tree" / f"{number}.mp4", frames=30, draw=lambda _, grey=grey: grey)
    onnx.save(tiny_detector(), folder / "tiny.onnx")
    assert within(folder, *words("expected")).code == 0
    return folder


def words(out: str, *others: str) -> list[str]:
    return ["annotate", "tree", "--resume", "--out", out, "--model", "tiny.onnx", *others]


def job(folder: Path, cluster, out: str, meanwhile: Callable[[Path], None]) -> Done:
    """The job, with what happens beside it; signals are the main thread's, so that it is there."""
    beside = ThreadPoolExecutor(1)
    happens = beside.submit(meanwhile, folder / out)
    done = within(folder, *words(out, "--ray", cluster.address, "--processes", "3"))
    happens.result(60)
    beside.shutdown()
    return done


def videos(out: Path) -> int:
    return len(list(out.glob("*.mp4")))


def wait(until, limit: float = 120.0) -> None:
    end = time.monotonic() + limit
    while not until():
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.05)


def members(folder: Path) -> list[int]:
    """The processes of all members that work in a folder, and are not about to end."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            is_one = "annotate_process" in (process / "cmdline").read_text()
            is_here = (process / "cwd").resolve() == folder.resolve()
        except OSError:
            continue
        if is_one and is_here:
            found.append(int(process.name))
    return found


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def test_a_machine_that_is_lost_and_a_process_that_is_killed_cost_nothing(folder, cluster, machines) -> None:
    def losses(out: Path) -> None:
        wait(lambda: videos(out) >= 2)
        cluster.remove_node(machines[0], allow_graceful=False)
        wait(lambda: videos(out) >= 4 and members(folder))
        os.kill(members(folder)[0], signal.SIGKILL)

    done = job(folder, cluster, "lost", losses)
    assert (done.code, done.out[-1]) == (0, f"lost: {FILES} files: {FILES} done")
    assert hashes(folder / "lost") == hashes(folder / "expected")


def test_what_a_member_says_after_its_lease_is_not_taken(folder, cluster, machines, monkeypatch) -> None:
    monkeypatch.setattr(on_ray, "LEASE", 6.0)
    monkeypatch.setattr(on_ray, "BEAT", 0.5)

    def stands_still(out: Path) -> None:
        wait(lambda: videos(out) >= 1)
        process = members(folder)[0]
        still = (parent_of(process), process)
        for pid in still:
            os.kill(pid, signal.SIGSTOP)
        try:
            wait(lambda: videos(out) >= FILES - 2)
        finally:
            for pid in still:
                if Path(f"/proc/{pid}").exists():
                    os.kill(pid, signal.SIGCONT)

    done = job(folder, cluster, "slow", stands_still)
    assert (done.code, done.out[-1]) == (0, f"slow: {FILES} files: {FILES} done")
    assert hashes(folder / "slow") == hashes(folder / "expected")
    assert not list((folder / "slow").glob(".*"))


def test_a_cluster_that_is_not_there_is_refused_in_a_line(folder) -> None:
    done = within(folder, *words("nowhere", "--ray", "127.0.0.1:1"))
    assert done.code == 2
    assert done.err[-1].startswith("watchline: --ray 127.0.0.1:1: no cluster is to be reached there (")
    assert (
        within(folder, "annotate", "tree", "--ray", "auto")
        .err[-1]
        .endswith("--ray needs --resume: it is by the manifest that processes share the files")
    )

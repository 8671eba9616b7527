import stat
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from cli.shell import within

from watchline.pipeline.errors import ConfigError
from watchline.pipeline.remote.channel import public_of
from watchline.pipeline.remote.keys import read_keys, write_pair


def test_a_pair_is_written_that_belongs_together(tmp_path):
    done = within(tmp_path, "keys", "gpu")
    assert done.code == 0
    assert [line.split(":")[0] for line in done.out] == ["gpu.key", "gpu.pub"]
    secret, public = (tmp_path / f"gpu.{end}" for end in ("key", "pub"))
    assert secret.read_text().startswith("watchline secret key of gpu")
    assert public.read_text().startswith("watchline public key of gpu")
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    keys = read_keys(secret, [public, public])
    assert keys.peers == (public_of(keys.secret),) * 2
    for shown in (*done.out, *done.err, repr(keys)):
        assert keys.secret.decode() not in shown


@pytest.mark.parametrize("there", ["gpu.key", "gpu.pub"])
def test_nothing_is_overwritten(tmp_path, there):
    (tmp_path / there).write_text("precious")
    done = within(tmp_path, "keys", "gpu")
    assert done.code == 2
    assert done.err == [f"watchline: {there} is there already, and keys are never overwritten: choose another name"]
    assert [p.name for p in tmp_path.iterdir()] == [there]
    assert (tmp_path / there).read_text() == "precious"


def test_of_many_that_make_a_pair_at_once_one_does(tmp_path):
    start = threading.Barrier(8)

    def make(_):
        start.wait()
        try:
            return write_pair(tmp_path / "gpu")
        except ConfigError as error:
            return str(error)

    with ThreadPoolExecutor(8) as pool:
        made = [*pool.map(make, range(8))]
    [(secret, public)] = [pair for pair in made if not isinstance(pair, str)]
    assert all("never overwritten" in why for why in made if isinstance(why, str))
    keys = read_keys(secret, [public])
    assert keys.peers == (public_of(keys.secret),)
    assert len([*tmp_path.iterdir()]) == 2


def test_a_full_disk_leaves_no_half_pair(small_disk):
    disk = small_disk("4k")
    (disk / "filler").write_bytes(bytes(4096))
    done = within(disk, "keys", "gpu")
    assert (done.code, done.err) == (2, ["watchline: gpu.key: the key cannot be written: No space left on device"])
    assert [path.name for path in disk.iterdir()] == ["filler"]


def test_a_folder_that_is_not_there_is_named(tmp_path):
    done = within(tmp_path, "keys", "nowhere/gpu")
    assert done.code == 2
    assert "nowhere/gpu.key: the key cannot be written: No such file" in done.err[0]


def test_files_that_are_no_keys_are_told_apart(tmp_path):
    secret, public = write_pair(tmp_path / "gpu")
    (tmp_path / "empty").touch()
    (tmp_path / "line").write_text("watchline secret key of gpu")
    (tmp_path / "other").write_bytes(b"\xff" * 100_000)
    (tmp_path / "short").write_text("watchline secret key of gpu\nabc\n")
    (tmp_path / "damaged").write_bytes(secret.read_bytes()[:-2] + b" \n")
    for name in ("empty", "line", "other", "short", "damaged"):
        with pytest.raises(ConfigError, match=f"{name} is not a key: expected a secret key, NAME.key"):
            read_keys(tmp_path / name, [public])
    with pytest.raises(ConfigError, match=r"gpu.pub is a public one, NAME.pub: expected a secret key"):
        read_keys(public, [public])
    with pytest.raises(ConfigError, match=r"gpu.key is a secret one, NAME.key: expected a public key"):
        read_keys(secret, [secret])
    with pytest.raises(ConfigError, match="the key cannot be read: No such file"):
        read_keys(tmp_path / "none", [public])
    with pytest.raises(ConfigError, match="the key cannot be read: Is a directory"):
        read_keys(tmp_path, [public])


def test_no_error_shows_a_key(tmp_path):
    secret, public = write_pair(tmp_path / "gpu")
    key = secret.read_text().splitlines()[1]
    with pytest.raises(ConfigError) as caught:
        read_keys(secret, [secret])
    assert key not in str(caught.value)
    damaged = tmp_path / "damaged"
    damaged.write_text(f"watchline secret key of x\n{key}{key}\n")
    with pytest.raises(ConfigError) as caught:
        read_keys(damaged, [public])
    assert key not in str(caught.value)


def test_a_key_that_others_may_read_is_warned_of(tmp_path, caplog):
    secret, public = write_pair(tmp_path / "gpu")
    secret.chmod(0o644)
    read_keys(secret, [public])
    assert "chmod 600" in caplog.text

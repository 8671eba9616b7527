"""The examples of RFC 7616, 3.9.1."""

import pytest

from watchline.streams.live import digest
from watchline.streams.live.digest import challenges

REALM = 'realm="http-auth@example.org"'
NONCE = 'nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v"'
OPAQUE = 'opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"'
SIGNED = {
    "MD5": "8ca523f5e9506fed4657c9700eebdbec",
    "SHA-256": "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1",
}


@pytest.mark.parametrize("algorithm", SIGNED)
def test_the_response_is_that_of_the_standard(monkeypatch, algorithm):
    monkeypatch.setattr(digest.secrets, "token_hex", lambda _: "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ")
    [challenge] = challenges([f'Digest {REALM}, qop="auth, auth-int", algorithm={algorithm}, {NONCE}, {OPAQUE}'])
    said = challenge.sign("Mufasa", "Circle of Life", "GET", "/dir/index.html")
    assert f'response="{SIGNED[algorithm]}"' in said
    assert said.startswith('Digest username="Mufasa", realm="http-auth@example.org", ')
    assert "qop=auth" in said.split(", ")
    assert OPAQUE in said


def test_offers_are_read_in_their_order():
    offers = challenges(['Basic realm="x"', 'Digest realm="a, b",nonce=n', 'digest realm="c", algorithm="sha-512-256"'])
    assert [(each.algorithm, each.is_known, each.parts.get("realm")) for each in offers] == [
        ("BASIC", True, None),
        ("MD5", True, "a, b"),
        ("SHA-512-256", False, "c"),
    ]

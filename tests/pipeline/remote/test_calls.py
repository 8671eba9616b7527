"""Requests wait while a server has as many bytes of them as it may hold."""

import threading

import numpy as np

from watchline.pipeline.remote import calls
from watchline.pipeline.remote.protocol import Heard


def test_what_a_server_would_not_hold_is_not_sent_yet(monkeypatch):
    monkeypatch.setattr(calls, "LARGEST", 150)
    posted = threading.Semaphore(0)
    waiting = calls.Calls("echo", lambda: "echo", posted.release)
    waiting.become("open")
    parts = [np.zeros(70, np.uint8)]
    threads = [threading.Thread(target=waiting.ask, args=(n, b"x", parts), daemon=True) for n in range(3)]
    for thread in threads:
        thread.start()
        assert posted.acquire(timeout=10)
    sent = []
    waiting.send(lambda header, _: not sent.append(header))
    assert len(sent) == 2
    assert waiting.is_waiting
    waiting.answer(Heard(0), ())
    waiting.send(lambda header, _: not sent.append(header))
    assert len(sent) == 3
    for number in (1, 2):
        waiting.answer(Heard(number), ())
    for thread in threads:
        thread.join()


def test_one_request_alone_is_always_sent(monkeypatch):
    monkeypatch.setattr(calls, "LARGEST", 0)
    sent = threading.Event()
    waiting = calls.Calls("echo", lambda: "echo", sent.set)
    waiting.become("open")
    thread = threading.Thread(target=waiting.ask, args=(1, b"x"), daemon=True)
    thread.start()
    assert sent.wait(10)
    waiting.send(lambda header, parts: True)
    assert not waiting.is_waiting
    waiting.answer(Heard(1), ())
    thread.join()

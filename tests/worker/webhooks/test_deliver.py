"""One attempt at a message, to whatever may be at its address."""

import socket
import threading
import time
from typing import Any

import pytest
from pydantic import SecretStr
from standardwebhooks import Webhook, WebhookVerificationError

from core.settings import Settings
from core.webhooks.outbox import Message
from tests.processes import free_port, hung_server
from tests.worker.webhooks.receiver import SECRET, receiving
from worker.webhooks.deliver import Attempt, deliver

SETTINGS = Settings(webhook_secret=SecretStr(SECRET), webhook_networks=["127.0.0.1"], webhook_timeout_s=5)


def send(url: str, **changes: Any) -> Attempt:  # noqa: ANN401
    """Deliver a message about a job there."""
    message = Message(
        id="msg_1", url=url, kind="job", about="j", state="succeeded", path="/distill-jobs/j", created=1.5, attempt=1
    )
    return deliver(message, SETTINGS.model_copy(update=changes))


def test_what_is_told_is_signed_and_little() -> None:
    with receiving() as receiver:
        attempts = [send(receiver.url()), send(receiver.url())]
    assert [(attempt.outcome, attempt.status) for attempt in attempts] == [("delivered", 204)] * 2
    first, second = receiver.received
    assert first.path == "/hook?of=mine"
    assert first.message == {
        "type": "job.succeeded",
        "timestamp": "1970-01-01T00:00:01.500000Z",
        "data": {"id": "j", "state": "succeeded", "path": "/distill-jobs/j"},
    }
    assert (first.headers["webhook-id"], first.body) == (second.headers["webhook-id"], second.body)
    assert first.headers["Host"] == f"127.0.0.1:{receiver.port}"


def test_what_is_replayed_or_changed_has_no_valid_signature() -> None:
    with receiving() as receiver:
        send(receiver.url())
    (sent,) = receiver.received
    old = sent.headers | {"webhook-timestamp": str(int(sent.headers["webhook-timestamp"]) - 301)}
    for headers, body in ((old, sent.body), (sent.headers | {"webhook-id": "msg_2"}, sent.body), (sent.headers, b"{}")):
        with pytest.raises(WebhookVerificationError):
            Webhook(SECRET).verify(body, headers)


@pytest.mark.parametrize(
    ("status", "outcome"), [(200, "delivered"), (302, "failed"), (307, "failed"), (410, "given_up"), (500, "failed")]
)
def test_what_an_answer_means(status: int, outcome: str) -> None:
    with receiving(status) as receiver:
        attempt = send(receiver.url())
    assert (attempt.outcome, attempt.status) == (outcome, status)
    assert len(receiver.received) == 1  # no redirect was followed
    assert (attempt.error == "redirects are not followed") == (300 <= status < 400)


def test_a_closed_port_and_a_name_that_there_is_not_are_failures() -> None:
    closed = send(f"http://127.0.0.1:{free_port()}/")
    assert (closed.outcome, closed.status) == ("failed", None)
    assert closed.error
    nowhere = send("http://no-such-host.invalid/")
    assert nowhere.outcome == "failed"
    assert nowhere.error


def test_a_server_that_hangs_or_drips_is_left_in_time() -> None:
    with hung_server() as port:
        attempt = send(f"http://127.0.0.1:{port}/", webhook_timeout_s=0.3)
    assert attempt.outcome == "failed"
    assert attempt.seconds < 5
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def drip() -> None:
            made, _ = listening.accept()
            with made:
                try:
                    while True:
                        made.sendall(b"H")
                        time.sleep(0.05)
                except OSError:
                    return

        dripping = threading.Thread(target=drip)
        dripping.start()
        attempt = send(f"http://127.0.0.1:{listening.getsockname()[1]}/", webhook_timeout_s=0.5)
        dripping.join(30)
    assert attempt.outcome == "failed"
    assert not dripping.is_alive()


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]", "127.1", "0x7f000001", "[::ffff:127.0.0.1]"])
def test_this_machine_is_not_connected_to_by_whatever_name(host: str) -> None:
    with receiving() as receiver:
        attempt = send(receiver.url(host), webhook_networks=[])
    assert attempt.outcome == "given_up", attempt
    assert attempt.error is not None
    assert "of no public network" in attempt.error
    assert receiver.received == []


def test_the_connection_goes_to_the_address_that_was_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    real = socket.getaddrinfo

    def rebound(host: str, *rest: Any, **options: Any) -> Any:  # noqa: ANN401
        """A name that leads to another address each time."""
        if host != "rebound.test":
            return real(host, *rest, **options)
        asked.append(host)
        return real("127.0.0.1" if len(asked) == 1 else "127.0.0.2", *rest, **options)

    monkeypatch.setattr(socket, "getaddrinfo", rebound)
    with receiving() as receiver:
        attempt = send(receiver.url("rebound.test"))
        again = send(receiver.url("rebound.test"))
    assert (attempt.outcome, again.outcome) == ("delivered", "given_up")
    assert len(asked) == 2
    assert receiver.received[0].headers["Host"] == f"rebound.test:{receiver.port}"

"""What Celery is given of ours: the transport, and a message in hand that cannot take its place for ever."""

from celery.worker.request import Request
from kombu.transport import virtual

INTAKE = "worker.intake:IntakeTransport"
"""Celery imports it by name."""


class ForgivingRequest(Request):
    """Gives its place among the prefetched free even where the acknowledgement is lost with the connection.

    Celery logs such a failure and goes on, but the message counts as in hand from then on, and a worker all of whose
    places are so held takes nothing any more: it does not even notice that the connection is new. The message comes
    again after the visibility timeout and finds nothing to do.
    """

    def acknowledge(self) -> None:
        """Acknowledge, and free the place whatever came of that."""
        try:
            super().acknowledge()
        finally:
            virtual.QoS.ack(self.message.channel.qos, self.message.delivery_tag)

"""What is told to other services as it happens: begin with `outbox`."""

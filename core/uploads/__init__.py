"""What clients have uploaded: begin with `store`."""

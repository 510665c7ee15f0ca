"""What may be asked of a training: begin with `options`."""

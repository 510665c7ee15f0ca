"""The distillation worker: begin with `worker` and `slices`."""

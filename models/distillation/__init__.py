"""Rounds of distillation: begin with `chain` and `rounds`; a method is a file of `methods`."""

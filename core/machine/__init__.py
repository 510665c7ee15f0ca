"""What a process has of its machine: signals, folders, the time of day."""

"""What each method of distillation is called and asks for, one a file, without torch: begin with `declaration`."""

"""Looking at what was uploaded: begin with `inspector`."""

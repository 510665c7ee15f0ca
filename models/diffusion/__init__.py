"""The process: schedule, what networks predict, DDIM steps, the U-Net, the weighting of losses."""

"""The science: schedule, DDIM, progressive distillation, data, training, checkpoints and the command line.

The letters are the papers': ``z_t = alpha_t x + sigma_t eps``, ``x`` in [-1, 1], ``eps ~ N(0, I)``; a name ending in
``_hat`` is predicted. Images are NCHW float32 in [-1, 1] inside, NHWC uint8 outside.
"""

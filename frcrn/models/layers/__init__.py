"""Layers of the complex U-Net; real and imaginary parts are stacked on the channel axis, [B, 2C, F, T]."""

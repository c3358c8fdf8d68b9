"""What makes the pictures and the bundled files: nothing that a model directory's user needs."""

from frcrn._copies import leave_out

leave_out(__name__)

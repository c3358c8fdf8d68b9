"""Programs that run an exported folder without torch; `frcrn export` copies them into it."""

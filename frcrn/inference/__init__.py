"""A network over sound: arrays, files, folders, streams, pipes and live audio."""

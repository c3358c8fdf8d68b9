"""Fuzzing of whatever reads files of strangers: model files in C, and the readers in Python."""

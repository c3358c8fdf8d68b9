"""Scores of enhanced speech: standard metrics, distortion, words."""

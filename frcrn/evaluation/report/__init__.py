"""A report of an evaluation: one page that carries its charts and sounds."""

"""A network as a program for a small interpreter in C, which needs nothing but a C compiler."""

"""A network as tables of whole numbers and a program without floating point, for microcontrollers."""

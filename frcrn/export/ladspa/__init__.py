"""A network as a LADSPA plugin, for PipeWire and audio programs: a shared library with the model inside."""

"""A corpus on many machines: folders, object stores, manifests, tar shards and tables of rows, enhanced on Ray Data."""

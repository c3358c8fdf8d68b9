"""A service over HTTP and WebSocket that enhances files and streams, and the page that uses it."""

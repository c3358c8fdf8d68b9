"""A network for the browser: WebAssembly made from the same C, an audio node, a page that shows it, an npm package."""

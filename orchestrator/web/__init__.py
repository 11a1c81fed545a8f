"""The dashboard: pages of `view/` as HTML, over HTTP. See docs/web.md."""

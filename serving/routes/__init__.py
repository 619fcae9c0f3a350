"""One module a kind of question. A handler parses, calls `recommend()` once and shapes the answer."""

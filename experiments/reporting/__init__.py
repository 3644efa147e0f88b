"""The report of a results file: what its cells measured, laid out as Markdown, HTML and figures."""

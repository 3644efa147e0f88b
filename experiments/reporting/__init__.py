"""The report of a results file as Markdown, HTML and figures."""

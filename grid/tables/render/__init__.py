"""Print tables: text, Markdown, LaTeX, HTML, data files, figures."""

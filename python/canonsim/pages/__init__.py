"""Pages about a model and data: what `canonsim evaluate`, `check` and `classify` write with ``-o report.html``.

A page is a function from results to `canonsim.report.Html`; `canonsim.report.write` writes it.
"""

"""report.html: the report as one file that needs no network."""

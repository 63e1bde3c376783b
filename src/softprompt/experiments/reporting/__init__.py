"""A study's report: tables, figures, one page, and what the methods said."""

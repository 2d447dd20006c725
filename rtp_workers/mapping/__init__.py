"""Foreign CSVs: finds out how a file is written and which column is which field, and converts its rows.

``infer`` reads a sample and returns a FilePlan. ``rows.convert`` converts rows of cells according to that plan.
Everything here is pure: no network, no database. Only ``rows.ids`` may write files, in a folder that it is given.
"""

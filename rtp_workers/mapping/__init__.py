"""Foreign CSVs: what their bytes, headers and values say, which column is which field, and the conversion.

``infer`` reads a sample and returns a FilePlan; ``rows.convert`` turns rows of cells into canonical ones by that plan.
Everything here is pure: no network, no database. Only ``rows.ids`` may write files, to a folder that it is given.
"""

"""Foreign CSVs: what their bytes, headers and values say, which column is which field, and the conversion.

``infer`` reads a sample and gives a FilePlan; ``Converter`` turns chunks of cells into canonical columns.
Everything here is pure: no network, no database; only ``ids`` may spill counts to a folder it is given.
"""
